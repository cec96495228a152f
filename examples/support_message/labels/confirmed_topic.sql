/*
says: The topic of the message that an agent confirmed last.
kind: event
*/
SELECT
  topic_confirmed.event_id,
  topic_confirmed.topic AS label,
  topic_confirmed.known_at AS labelled_at
FROM topic_confirmed
