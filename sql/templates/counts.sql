-- Count the rows of a snapshot by split and label.
SELECT
  snapshot.split,
  COALESCE(snapshot.label, '') AS label,
  COUNT(*) AS row_count
FROM `{{ snapshot }}` AS snapshot
GROUP BY snapshot.split, label
ORDER BY snapshot.split, label
