-- Count examples by the step that removed them, NULL for the remaining ones.
SELECT
  example.removed_by,
  COUNT(DISTINCT example.example_id) AS examples
FROM `{{ example }}` AS example
GROUP BY example.removed_by
