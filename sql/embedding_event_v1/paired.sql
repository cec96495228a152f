-- Return the events of a stream that two encoders embedded, as they are known now, each with its delivery by either.
-- The rows are a random sample of at most `row_limit`, the same for the same events.
{%- set start_at, end_at, stream, vectors = '@start_at', '@end_at', '@stream', false %}
WITH delivered AS (
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
)
SELECT
  one.event_id,
  one.origin,
  one.subject_key,
  one.occurred_at,
  one.logged_at AS first_logged_at,
  other.logged_at AS second_logged_at
FROM delivered AS one
INNER JOIN delivered AS other ON one.event_id = other.event_id AND one.origin = other.origin
WHERE
  one.encoder_fingerprint = @first
  AND other.encoder_fingerprint = @second
  AND one.superseded_at IS NULL
  AND other.superseded_at IS NULL
ORDER BY FARM_FINGERPRINT(one.event_id), one.event_id
LIMIT @row_limit
