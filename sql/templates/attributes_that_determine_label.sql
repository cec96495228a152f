-- Return attributes each of whose values occurs with a single label, although there are several labels.
WITH grouped AS (
  SELECT
    attribute.key,
    attribute.value,
    COUNT(DISTINCT snapshot.label) AS labels,
    MIN(snapshot.label) AS label,
    COUNT(*) AS examples
  FROM `{{ snapshot }}` AS snapshot, UNNEST(snapshot.attributes) AS attribute
  WHERE snapshot.label IS NOT NULL
  GROUP BY attribute.key, attribute.value
)
SELECT
  grouped.key,
  SUM(grouped.examples) AS examples
FROM grouped
GROUP BY grouped.key
HAVING MAX(grouped.labels) = 1 AND COUNT(DISTINCT grouped.label) > 1 AND SUM(grouped.examples) >= @least * COUNT(*)
ORDER BY grouped.key
