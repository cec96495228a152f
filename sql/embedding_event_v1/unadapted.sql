-- Return the deliveries of a stream by the source of an adapter that count now and still need an adapted vector: there
-- is none yet, and none by the encoder into whose space it maps.
{%- set start_at, end_at, stream, vectors = '@start_at', '@end_at', '@stream', false %}
WITH delivered AS (
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
),
present AS (
  SELECT DISTINCT
    delivered.event_id,
    delivered.origin
  FROM delivered
  WHERE delivered.encoder_fingerprint IN (@adapted, @target) AND delivered.superseded_at IS NULL
)
SELECT
  old.event_id,
  old.origin,
  old.occurred_at,
  old.logged_at
FROM delivered AS old
LEFT JOIN present ON old.event_id = present.event_id AND old.origin = present.origin
WHERE old.encoder_fingerprint = @source AND old.superseded_at IS NULL AND present.event_id IS NULL
