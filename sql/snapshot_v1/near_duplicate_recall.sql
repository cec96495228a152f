-- Count the rows of validation and test that have a near neighbour in train, which the build has missed, among at most
-- 200 of them that a hash selects. Each is compared with all of train. Zero vectors are left out, since they have no
-- cosine.
WITH comparable AS (
  SELECT
    event_id,
    split,
    embedding
  FROM `{{ snapshot }}`
  WHERE EXISTS (SELECT 1 FROM UNNEST(embedding) AS component WHERE component != 0)
),
sampled AS (
  SELECT
    event_id,
    embedding
  FROM comparable
  WHERE split != 'train'
  ORDER BY FARM_FINGERPRINT(CONCAT('sample:', event_id)), event_id
  LIMIT 200
),
compared AS (
  SELECT
    sampled.event_id,
    LOGICAL_OR(1 - COSINE_DISTANCE(sampled.embedding, train.embedding) >= @cosine) AS is_near
  FROM sampled
  CROSS JOIN comparable AS train
  WHERE train.split = 'train'
  GROUP BY sampled.event_id
)
SELECT
  COUNT(*) AS sampled,
  COUNTIF(is_near) AS missed,
  (SELECT COUNT(*) FROM comparable WHERE split != 'train') AS remaining
FROM compared
