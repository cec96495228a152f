/*
says: Keeps all.
without_subject: keep
*/
SELECT
  event.example_id,
  event.event_id
FROM event
