/*
says: Excludes the persons in a table, such as staff, test accounts or those who objected.
without_subject: keep
parameters:
  subjects: {type: source, says: the table of the persons to exclude}
*/
SELECT
  event.example_id,
  event.event_id
FROM event
LEFT JOIN (SELECT DISTINCT subjects.person_key FROM {{ subjects }} AS subjects) AS excluded
  ON event.person_key = excluded.person_key
WHERE excluded.person_key IS NULL
