-- Return the events of each stream and day, and the same for each of its encoders: rows without an encoder count an
-- event once, however many encoders embedded it. The table is read, not the function, since what is stored counts here,
-- superseded events too. Only the partitions of [start_at, end_at) and no vectors are read.
SELECT
  stored.stream,
  stored.encoder,
  stored.encoder_version,
  stored.encoder_fingerprint,
  DATE(stored.occurred_at) AS day,
  COUNT(DISTINCT stored.event_id) AS events,
  COUNT(DISTINCT IF(stored.occurred_at >= @recent_at, stored.event_id, NULL)) AS recent_events,
  COUNT(DISTINCT IF(stored.origin = 'serving', stored.event_id, NULL)) AS served_events,
  MAX(stored.occurred_at) AS last_at,
  MAX(stored.logged_at) AS last_logged_at
FROM `{{ events }}.embedding_event_v1` AS stored
WHERE stored.occurred_at >= @start_at AND stored.occurred_at < @end_at
GROUP BY
  GROUPING SETS (
    (stored.stream, day),
    (stored.stream, day, stored.encoder, stored.encoder_version, stored.encoder_fingerprint)
  )
ORDER BY stored.stream, stored.encoder_fingerprint, day
