/*
says: Keeps persons whose events all have the same label.
without_subject: keep
parameters: {}
*/
WITH person_with_one_label AS (
  SELECT labelled.person_key
  FROM event AS labelled
  GROUP BY labelled.person_key
  HAVING COUNT(DISTINCT labelled.label) + COUNT(DISTINCT labelled.label_value) = 1
)

SELECT
  event.example_id,
  event.event_id
FROM event
INNER JOIN person_with_one_label ON event.person_key = person_with_one_label.person_key
