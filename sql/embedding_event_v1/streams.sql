-- Return the encoders of each stream, with their deliveries and the times of the first and last event. The table is
-- read, not the function, since what is stored counts here, superseded and repeated deliveries too.
SELECT
  stored.stream,
  stored.encoder,
  stored.encoder_version,
  stored.encoder_fingerprint,
  COUNT(*) AS deliveries,
  COUNTIF(stored.origin = 'serving' AND stored.caller_key IS NULL) AS unknown_callers,
  MIN(stored.occurred_at) AS first_at,
  MAX(stored.occurred_at) AS last_at
FROM `{{ events }}.embedding_event_v1` AS stored
WHERE stored.occurred_at >= @start_of_events
GROUP BY stored.stream, stored.encoder, stored.encoder_version, stored.encoder_fingerprint
ORDER BY stored.stream, stored.encoder, stored.encoder_version, stored.encoder_fingerprint
