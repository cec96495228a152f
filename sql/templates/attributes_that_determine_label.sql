-- Return attributes each of whose values occurs with a single label, although there are several labels.
WITH grouped AS (
  SELECT
    attribute.key,
    attribute.value,
    COUNT(DISTINCT example.label) AS labels,
    MIN(example.label) AS label,
    COUNT(*) AS examples
  FROM `{{ example }}` AS example, UNNEST(example.attributes) AS attribute
  WHERE example.removed_by IS NULL AND example.label IS NOT NULL
  GROUP BY attribute.key, attribute.value
)
SELECT
  grouped.key,
  SUM(grouped.examples) AS examples
FROM grouped
GROUP BY grouped.key
HAVING MAX(grouped.labels) = 1 AND COUNT(DISTINCT grouped.label) > 1 AND SUM(grouped.examples) >= @least * COUNT(*)
ORDER BY grouped.key
