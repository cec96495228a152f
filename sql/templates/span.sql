-- Return the time span of the remaining examples, and their number.
SELECT
  MIN(example.occurred_at) AS first_at,
  MAX(example.occurred_at) AS last_at,
  COUNT(DISTINCT example.example_id) AS examples
FROM `{{ example }}` AS example
WHERE example.removed_by IS NULL
