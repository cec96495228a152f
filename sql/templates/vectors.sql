-- Return all vectors of a stream and encoder, the most that a snapshot reads.
SELECT
  event.event_id,
  event.logged_at,
  event.embedding
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
