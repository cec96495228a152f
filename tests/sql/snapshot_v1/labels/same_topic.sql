/*
says: Whether two messages are about the same.
kind: pair
*/
SELECT
  same_topic.left_event_id,
  same_topic.right_event_id,
  same_topic.value AS label,
  same_topic.known_at AS labelled_at
FROM same_topic
