-- Count the remaining events whose chosen deliveries are still there.
{%- set with_split = false %}
SELECT COUNT(DISTINCT remaining.example_id) AS examples
FROM (
{% filter indent(2, true) %}{% include 'templates/remaining.sql' %}{% endfilter %}
) AS remaining
INNER JOIN `{{ events }}.embedding_event_v1` AS delivery
  ON remaining.event_id = delivery.event_id AND remaining.logged_at = delivery.logged_at
WHERE
  delivery.occurred_at >= @start_at
  AND delivery.occurred_at < @end_at
  AND delivery.stream = @stream
  {%- if adapted %}
  AND delivery.encoder IN (@encoder, @adapted_encoder)
  AND delivery.encoder_fingerprint IN (@target_fingerprint, @adapted_fingerprint)
  {%- else %}
  AND delivery.encoder = @encoder
  AND delivery.encoder_version = @encoder_version
  {%- endif %}
