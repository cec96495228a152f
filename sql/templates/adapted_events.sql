-- Count the events of a dataset that were known at the as-of, and those of them that have an adapted vector only.
{%- from 'embedding_event_v1/known.sql' import is_known %}
{%- set start_at, end_at, stream, vectors = '@start_at', '@end_at', '@stream', false %}
WITH delivered AS (
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
),
known_event AS (
  SELECT
    delivered.event_id,
    LOGICAL_OR(delivered.encoder_fingerprint = @target_fingerprint) AS is_native
  FROM delivered
  WHERE
    delivered.encoder_fingerprint IN (@target_fingerprint, @adapted_fingerprint)
    AND {{ is_known('delivered') }}
  GROUP BY delivered.event_id
)
SELECT
  COUNT(*) AS events,
  COUNTIF(NOT known_event.is_native) AS adapted
FROM known_event
