/*
says: Keeps persons whose events all have the same label.
without_subject: keep
parameters: {}
*/
WITH single AS (
  SELECT labelled.person_key
  FROM event AS labelled
  GROUP BY labelled.person_key
  HAVING COUNT(DISTINCT labelled.label) + COUNT(DISTINCT labelled.label_value) = 1
)

SELECT
  event.example_id,
  event.event_id
FROM event
INNER JOIN single ON event.person_key = single.person_key
