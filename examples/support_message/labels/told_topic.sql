/*
says: What an agent said that the message is about, the last time.
kind: event
*/
SELECT
  topic_told.event_id,
  topic_told.topic AS label,
  topic_told.known_at AS labelled_at
FROM topic_told
