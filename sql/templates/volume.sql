-- Return the number of deliveries of a stream and their dimension, from which the plan is estimated without a dry run.
SELECT
  COUNT(*) AS deliveries,
  COALESCE(MAX(ARRAY_LENGTH(event.embedding)), 0) AS dimension
FROM `{{ events }}.embedding_event_v1` AS event
WHERE
  event.occurred_at >= @start_at
  AND event.occurred_at < @end_at
  AND event.stream = @stream
  {%- if adapted %}
  AND event.encoder_fingerprint IN (@target_fingerprint, @adapted_fingerprint)
  {%- else %}
  AND event.encoder = @encoder
  AND event.encoder_version = @encoder_version
  {%- endif %}
