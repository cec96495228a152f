{#- Old search as CTEs of the statement that reads the vectors; `vector` is one of them. -#}
place AS (
  SELECT
    band,
    bit,
    position
  FROM
    UNNEST(GENERATE_ARRAY(1, 10)) AS band,
    UNNEST(GENERATE_ARRAY(1, 12)) AS bit,
    UNNEST(GENERATE_ARRAY(1, (SELECT MAX(ARRAY_LENGTH(vector.embedding)) FROM vector))) AS position
),
plane AS (
  SELECT
    band,
    bit,
    ARRAY_AGG(
      IF(MOD(FARM_FINGERPRINT(CONCAT('plane:', band, ':', bit, ':', position)), 2) = 0, 1.0, -1.0)
      ORDER BY position
    ) AS normal
  FROM place
  GROUP BY band, bit
),
nonzero AS (
  SELECT vector.event_id, vector.logged_at, vector.split, vector.embedding
  FROM vector
  WHERE EXISTS (SELECT 1 FROM UNNEST(vector.embedding) AS component WHERE component != 0)
),
bucketed AS (
  SELECT
    nonzero.event_id,
    nonzero.logged_at,
    nonzero.split,
    plane.band,
    SUM(IF(COSINE_DISTANCE(nonzero.embedding, plane.normal) < 1, 1 << plane.bit, 0)) AS bucket
  FROM nonzero
  CROSS JOIN plane
  GROUP BY nonzero.event_id, nonzero.logged_at, nonzero.split, plane.band
),
met AS (
  SELECT DISTINCT
    later.event_id,
    earlier.event_id AS neighbour_id
  FROM bucketed AS later
  INNER JOIN bucketed AS earlier ON later.band = earlier.band AND later.bucket = earlier.bucket
  WHERE
    later.split != earlier.split
    AND (
      earlier.logged_at < later.logged_at
      OR (earlier.logged_at = later.logged_at AND earlier.event_id < later.event_id)
    )
),
near_duplicate AS (
  SELECT DISTINCT met.event_id
  FROM met
  INNER JOIN nonzero ON met.event_id = nonzero.event_id
  INNER JOIN nonzero AS neighbour ON met.neighbour_id = neighbour.event_id
  WHERE 1 - COSINE_DISTANCE(nonzero.embedding, neighbour.embedding) >= @cosine
)
