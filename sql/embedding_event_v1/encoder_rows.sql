-- Return how many rows a stream has of an encoder, and when the first and the last of their events occurred.
SELECT
  COUNT(*) AS row_count,
  MIN(event.occurred_at) AS first_at,
  MAX(event.occurred_at) AS last_at
FROM `{{ events }}.embedding_event_v1` AS event
WHERE
  event.occurred_at >= TIMESTAMP_SECONDS(0)
  AND event.stream = @stream
  AND event.encoder_fingerprint = @fingerprint
