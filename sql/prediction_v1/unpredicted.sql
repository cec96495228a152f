-- Return the deliveries of a stream by an encoder that count now and that a version of a head has not predicted yet,
-- other than for a caller of a service.
{%- set start_at, end_at, stream, vectors = '@start_at', '@end_at', '@stream', false %}
WITH delivered AS (
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
),
predicted AS (
  SELECT DISTINCT stored.event_id
  FROM `{{ events }}.prediction_v1` AS stored
  WHERE
    stored.stream = @stream
    AND stored.head = @head
    AND stored.version = @version
    AND stored.caller_key IS NULL
)
SELECT
  old.event_id,
  old.origin,
  old.occurred_at,
  old.logged_at
FROM delivered AS old
LEFT JOIN predicted ON old.event_id = predicted.event_id
WHERE old.encoder_fingerprint = @fingerprint AND old.superseded_at IS NULL AND predicted.event_id IS NULL
