-- Return how many events of a stream an encoder embedded that occurred until some time.
SELECT COUNT(DISTINCT event.event_id) AS events
FROM `{{ events }}.embedding_event_v1` AS event
WHERE
  event.occurred_at BETWEEN TIMESTAMP_SECONDS(0) AND @until_at
  AND event.stream = @stream
  AND event.encoder_fingerprint = @fingerprint
