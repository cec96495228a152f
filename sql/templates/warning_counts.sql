-- Count what a data scientist should be warned of among the remaining rows.
SELECT
  COUNT(DISTINCT IF(event.conflicting, event.event_id, NULL)) AS conflicting,
  COUNT(DISTINCT IF(example.labelled_at < example.occurred_at, example.example_id, NULL)) AS known_before
FROM `{{ example }}` AS example
INNER JOIN `{{ event }}` AS event ON example.event_id = event.event_id
WHERE example.removed_by IS NULL
