-- Return the number of rows that one encoder has of a stream in each window, without reading a vector.
{%- set start_at, end_at, stream, vectors = '@start_at', '@end_at', '@stream', false %}
WITH delivered AS (
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
)
SELECT
  part.number,
  COUNT(*) AS row_count
FROM delivered
INNER JOIN UNNEST(@windows) AS part
  ON delivered.occurred_at >= part.start_at AND delivered.occurred_at < part.end_at
WHERE delivered.encoder_fingerprint = @fingerprint AND delivered.superseded_at IS NULL
GROUP BY part.number
ORDER BY part.number
