/*
says: Names a column of the table that a build works on.
without_subject: keep
*/
SELECT
  event.example_id,
  event.event_id
FROM event
WHERE removed_by IS NULL
