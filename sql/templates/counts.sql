-- Count the remaining rows by split and label.
SELECT
  example.split,
  COALESCE(example.label, '') AS label,
  COUNT(DISTINCT example.example_id) AS row_count
FROM `{{ example }}` AS example
WHERE example.removed_by IS NULL
GROUP BY example.split, label
ORDER BY example.split, label
