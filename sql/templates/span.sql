-- When the examples that are left occurred, and how many there are.
SELECT
  MIN(example.occurred_at) AS first_at,
  MAX(example.occurred_at) AS last_at,
  COUNT(DISTINCT example.example_id) AS examples
FROM `{{ example }}` AS example
WHERE example.removed_by IS NULL
