-- Count the rows of a snapshot by split and label.
SELECT
  snapshot.split,
  COALESCE(snapshot.label, '') AS label,
  COUNT(*) AS row_count,
  COUNTIF(COALESCE(snapshot.is_capped, FALSE)) AS capped
FROM `{{ snapshot }}` AS snapshot
GROUP BY snapshot.split, label
ORDER BY snapshot.split, label
