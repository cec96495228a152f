-- Return the fingerprints of an encoder at the time of one of its deliveries, of which only that day is read.
SELECT DISTINCT delivery.encoder_fingerprint
FROM `{{ events }}.embedding_event_v1` AS delivery
WHERE
  delivery.occurred_at = @at
  AND delivery.stream = @stream
  AND delivery.encoder = @encoder
  AND delivery.encoder_version = @encoder_version
  AND FARM_FINGERPRINT(delivery.encoder_fingerprint) = @encoder_hash
