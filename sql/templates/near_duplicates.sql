{#- CTEs that find the rows of validation and test with a near neighbour in train. They read the CTE `vector` (event_id,
split, embedding) and define

- near_duplicate_search: the rows of validation and test that were compared; whether each is a near duplicate; and
  whether one of its buckets is capped: it has more than @bucket_limit vectors of train, so that not all were compared;
- near_duplicate: the event_id of each near duplicate;
- hashing: one row with the hyperplanes a band (bits), the bands, and the spread of train, by which
  rawless.datasets.near_duplicates states the recall.

Compared are vectors in one bucket, which is given by the sides of random hyperplanes that a vector is on, in several
bands (Charikar, 2002), unless their sketches, sides of further hyperplanes, differ too much. The hyperplanes pass
through the mean of train: the vectors of many encoders are all on one side of most hyperplanes through the origin. The
components of the normals come from a hash, so that every run uses the same ones. BigQuery evaluates `vector` seven
times unless it is a table. -#}
keyed AS (
  -- A zero vector has no cosine, and BigQuery refuses to compute it.
  SELECT
    event_id,
    split,
    embedding,
    FARM_FINGERPRINT(TO_HEX(SHA256(TO_JSON_STRING(embedding)))) AS vector_key
  FROM vector
  WHERE EXISTS (SELECT 1 FROM UNNEST(embedding) AS component WHERE component != 0)
),
sampled AS (
  SELECT
    embedding,
    SQRT((SELECT SUM(component * component) FROM UNNEST(embedding) AS component)) AS embedding_length
  FROM keyed
  WHERE split = 'train'
  ORDER BY FARM_FINGERPRINT(event_id), event_id
  LIMIT 10000
),
centre AS (
  -- The mean of the unit vectors in whole 2^-20, whose sum does not depend on the order of the rows.
  SELECT
    component_offset AS coordinate,
    DIV(SUM(CAST(ROUND(component / sampled.embedding_length * 1048576) AS INT64)), COUNT(*)) AS mean
  FROM sampled
  CROSS JOIN UNNEST(sampled.embedding) AS component WITH OFFSET AS component_offset
  GROUP BY component_offset
),
spread AS (
  -- spread: the mean square distance of the unit vectors from their mean. Of two vectors at that distance from it whose
  -- cosine is @cosine, a hyperplane through the mean separates all but the share same_side.
  SELECT
    spread,
    1 - ACOS(GREATEST(0, 1 - (1 - @cosine) / spread)) / ACOS(-1) AS same_side
  FROM (SELECT GREATEST(1e-6, 1 - SUM(POW(mean / 1048576, 2))) AS spread FROM centre)
),
band_width AS (
  -- Fewer hyperplanes a band where @max_bands of them would find less than @recall.
  SELECT
    spread,
    same_side,
    LEAST(
      @most_bits,
      GREATEST(@least_bits, CAST(FLOOR(LN(1 - POW(1 - @recall, 1 / @max_bands)) / LN(same_side)) AS INT64))
    ) AS bits
  FROM spread
),
hashing AS (
  SELECT
    spread,
    bits,
    LEAST(@max_bands, CAST(CEIL(LN(1 - @recall) / LN(1 - POW(same_side, bits))) AS INT64)) AS bands,
    CAST(CEIL(@sketch_bits * (1 - same_side) + 4 * SQRT(@sketch_bits * same_side * (1 - same_side))) AS INT64)
      AS most_flips
  FROM band_width
),
plane_component AS (
  -- Odd, so that no normal is zero, and binomial, which is nearly normal. Band 0 is the sketch.
  SELECT
    band,
    bit,
    centre.coordinate,
    centre.mean,
    2 * CAST(
      BIT_COUNT(FARM_FINGERPRINT(CONCAT(band, ':', bit, ':', centre.coordinate)) & 9223372036854775807) AS FLOAT64
    ) - 63 AS weight
  FROM hashing
  CROSS JOIN centre
  CROSS JOIN UNNEST(GENERATE_ARRAY(0, @max_bands)) AS band
  CROSS JOIN UNNEST(GENERATE_ARRAY(0, @sketch_bits - 1)) AS bit
  WHERE band <= hashing.bands AND (band = 0 OR bit < hashing.bits)
),
plane AS (
  -- boundary: the cosine distance between the normal and a unit vector on the hyperplane.
  SELECT
    band,
    bit,
    ARRAY_AGG(weight ORDER BY coordinate) AS normal,
    1 - SUM(mean * weight) / 1048576 / SQRT(SUM(weight * weight)) AS boundary
  FROM plane_component
  GROUP BY band, bit
),
side AS (
  SELECT
    keyed.event_id,
    keyed.split,
    keyed.vector_key,
    plane.band,
    SUM(IF(COSINE_DISTANCE(keyed.embedding, plane.normal) < plane.boundary, 1 << plane.bit, 0)) AS bucket
  FROM keyed
  CROSS JOIN plane
  GROUP BY keyed.event_id, keyed.split, keyed.vector_key, plane.band
),
place AS (
  -- In place of the sketch, the bucket of band 0 is the key: equal vectors always meet.
  SELECT
    event_id,
    split,
    vector_key,
    band,
    IF(band = 0, vector_key, bucket) AS bucket,
    MAX(IF(band = 0, bucket, NULL)) OVER (PARTITION BY event_id) AS sketch
  FROM side
),
train_place AS (
  -- One of equal vectors, numbered in each bucket by their keys.
  SELECT
    band,
    bucket,
    MIN(event_id) AS event_id,
    ANY_VALUE(sketch) AS sketch,
    ROW_NUMBER() OVER (PARTITION BY band, bucket ORDER BY vector_key) AS number,
    COUNT(*) OVER (PARTITION BY band, bucket) > @bucket_limit AS is_capped
  FROM place
  WHERE split = 'train'
  GROUP BY band, bucket, vector_key
),
candidate AS (
  -- The first of a capped bucket is always compared, so that all who were in it are told.
  SELECT
    place.event_id,
    train_place.event_id AS neighbour_id,
    train_place.is_capped
  FROM place
  INNER JOIN train_place ON place.band = train_place.band AND place.bucket = train_place.bucket
  CROSS JOIN hashing
  WHERE
    place.split != 'train'
    AND train_place.number <= @bucket_limit
    AND (
      BIT_COUNT(place.sketch ^ train_place.sketch) <= hashing.most_flips
      OR (train_place.is_capped AND train_place.number = 1)
    )
),
near_duplicate_search AS (
  SELECT
    candidate.event_id,
    LOGICAL_OR(1 - COSINE_DISTANCE(vector.embedding, neighbour.embedding) >= @cosine) AS is_near_duplicate,
    LOGICAL_OR(candidate.is_capped) AS is_capped
  FROM candidate
  INNER JOIN vector ON candidate.event_id = vector.event_id
  INNER JOIN vector AS neighbour ON candidate.neighbour_id = neighbour.event_id
  GROUP BY candidate.event_id
),
near_duplicate AS (
  SELECT event_id FROM near_duplicate_search WHERE is_near_duplicate
)
