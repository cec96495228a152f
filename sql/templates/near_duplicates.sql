-- Mark the rows that have a near neighbour with an earlier (logged_at, event_id) in another split. Candidates are
-- rows in the same bucket, which is given by the sides of random hyperplanes that a vector is on, in several bands
-- (Charikar, 2002). The components of the normals, +1 and -1, come from a hash, so that every run uses the same ones.
-- Candidates are compared by their exact cosine. A zero vector has none, and BigQuery refuses to compute it.
UPDATE `{{ example }}`
SET removed_by = @step
WHERE
  removed_by IS NULL
  AND example_id IN (
    WITH place AS (
      SELECT
        band,
        bit,
        position
      FROM
        UNNEST(GENERATE_ARRAY(1, @bands)) AS band,
        UNNEST(GENERATE_ARRAY(1, @bits)) AS bit,
        UNNEST(GENERATE_ARRAY(1, @dimension)) AS position
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
    vector AS (
      SELECT
        example.event_id,
        example.logged_at,
        example.split,
        snapshot.embedding
      FROM `{{ example }}` AS example
      INNER JOIN `{{ snapshots }}.snapshot_v1` AS snapshot ON example.event_id = snapshot.event_id
      WHERE
        snapshot.snapshot_id = @snapshot_id
        AND example.removed_by IS NULL
        AND EXISTS (SELECT 1 FROM UNNEST(snapshot.embedding) AS component WHERE component != 0)
    ),
    bucketed AS (
      SELECT
        vector.event_id,
        vector.logged_at,
        vector.split,
        plane.band,
        SUM(IF(COSINE_DISTANCE(vector.embedding, plane.normal) < 1, 1 << plane.bit, 0)) AS bucket
      FROM vector
      CROSS JOIN plane
      GROUP BY vector.event_id, vector.logged_at, vector.split, plane.band
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
    )
    SELECT met.event_id
    FROM met
    INNER JOIN vector ON met.event_id = vector.event_id
    INNER JOIN vector AS neighbour ON met.neighbour_id = neighbour.event_id
    WHERE 1 - COSINE_DISTANCE(vector.embedding, neighbour.embedding) >= @cosine
  )
