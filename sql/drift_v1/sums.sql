-- Return the mean of each coordinate of the rows of each window, and that coordinate of a sample of them, in one reading
-- of the vectors. Whether a row is in the sample depends on its event id only, and the sample of every coordinate is in
-- the same order. The norms are the same for each coordinate of a window.
{%- set start_at, end_at, stream, vectors = '@start_at', '@end_at', '@stream', true %}
WITH delivered AS (
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
),
measured AS (
  SELECT
    part.number,
    delivered.event_id,
    delivered.origin,
    delivered.embedding,
    (SELECT SUM(coordinate * coordinate) FROM UNNEST(delivered.embedding) AS coordinate) AS squared_norm,
    MOD(FARM_FINGERPRINT(CONCAT('drift:', delivered.event_id)), 1000000) / 2000000 + 0.5 < part.share AS is_sampled
  FROM delivered
  INNER JOIN UNNEST(@windows) AS part
    ON delivered.occurred_at >= part.start_at AND delivered.occurred_at < part.end_at
  WHERE delivered.encoder_fingerprint = @fingerprint AND delivered.superseded_at IS NULL
)
SELECT
  measured.number,
  place,
  COUNT(*) AS row_count,
  AVG(value) AS mean,
  AVG(SQRT(measured.squared_norm)) AS norm,
  AVG(measured.squared_norm) AS squared_norm,
  ARRAY_AGG(IF(measured.is_sampled, value, NULL) IGNORE NULLS ORDER BY measured.event_id, measured.origin) AS sample
FROM measured
CROSS JOIN UNNEST(measured.embedding) AS value WITH OFFSET AS place
GROUP BY measured.number, place
ORDER BY measured.number, place
