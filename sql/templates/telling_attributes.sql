-- Attributes each of whose values comes with one label alone, though there are several labels.
WITH told AS (
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
  told.key,
  SUM(told.examples) AS examples
FROM told
GROUP BY told.key
HAVING MAX(told.labels) = 1 AND COUNT(DISTINCT told.label) > 1 AND SUM(told.examples) >= @least * COUNT(*)
ORDER BY told.key
