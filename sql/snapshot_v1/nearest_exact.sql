-- Return the rows of a snapshot that are nearest to one of them, by comparing every row with it. Zero vectors are left
-- out, since they have no cosine.
WITH requested AS (
  SELECT row.embedding
  FROM `{{ snapshot }}` AS row
  WHERE
    row.event_id = @event_id
    AND EXISTS (SELECT 1 FROM UNNEST(row.embedding) AS component WHERE component != 0)
)
SELECT
  base.event_id,
  base.label,
  base.label_value,
  base.split,
  1 - COSINE_DISTANCE(base.embedding, requested.embedding) AS cosine
FROM `{{ snapshot }}` AS base
CROSS JOIN requested
WHERE
  base.event_id != @event_id
  AND base.split IN UNNEST(@splits)
  AND EXISTS (SELECT 1 FROM UNNEST(base.embedding) AS component WHERE component != 0)
ORDER BY cosine DESC, event_id ASC
LIMIT @top
