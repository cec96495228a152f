-- The vectors of a stream and encoder: what a snapshot reads at most.
SELECT event.embedding
FROM `{{ events }}.embedding_event`(@start_at, @end_at) AS event
WHERE
  event.stream = @stream
  AND event.encoder = @encoder
  AND event.encoder_version = @encoder_version
