-- Return how many rows of an encoder each stream has, and when the first and the last of their events occurred.
SELECT
  event.stream,
  COUNT(*) AS row_count,
  MIN(event.occurred_at) AS first_at,
  MAX(event.occurred_at) AS last_at
FROM `{{ events }}.embedding_event_v1` AS event
WHERE
  event.occurred_at >= TIMESTAMP_SECONDS(0)
  AND event.encoder_fingerprint = @fingerprint
GROUP BY event.stream
ORDER BY event.stream
