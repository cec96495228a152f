-- Return all vectors of a stream and encoder, the most that a snapshot reads.
SELECT event.embedding
FROM `{{ events }}.embedding_event`(@start_at, @end_at) AS event
WHERE
  event.stream = @stream
  AND event.encoder = @encoder
  AND event.encoder_version = @encoder_version
