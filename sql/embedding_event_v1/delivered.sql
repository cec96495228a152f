-- Return those of some events of a stream that an encoder embedded, as they are known now, each with its delivery.
{%- set start_at, end_at, stream, vectors = '@start_at', '@end_at', '@stream', false %}
WITH delivered AS (
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
)
SELECT
  delivered.event_id,
  delivered.origin,
  delivered.occurred_at,
  delivered.logged_at
FROM delivered
WHERE
  delivered.encoder_fingerprint = @fingerprint
  AND delivered.superseded_at IS NULL
  AND delivered.event_id IN UNNEST(@event_ids)
