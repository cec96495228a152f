-- Delete the rows that a stream has of an encoder.
DELETE FROM `{{ events }}.embedding_event_v1` AS event
WHERE
  event.occurred_at BETWEEN @first_at AND @last_at
  AND event.stream = @stream
  AND event.encoder_fingerprint = @fingerprint
