-- What became of the events of a stream that were rejected for one reason: one row an event, and one for all deliveries
-- whose id could not be stored. An event is open while one of the encoders has not embedded it.
WITH rejected AS (
  SELECT
    told.event_id,
    COUNT(DISTINCT told.message_id) AS deliveries,
    MIN(told.rejected_at) AS first_rejected_at
  FROM `{{ events }}.rejection_v1` AS told
  WHERE told.rejected_at >= @start_at AND told.rejected_at < @end_at AND told.stream = @stream AND told.reason = @reason
  GROUP BY told.event_id
),
embedded AS (
  SELECT
    event.event_id,
    COUNT(DISTINCT event.encoder_fingerprint) AS encoders
  FROM `{{ events }}.embedding_event_v1` AS event
  WHERE
    event.occurred_at >= @start_of_events
    AND event.stream = @stream
    AND event.encoder_fingerprint IN UNNEST(@fingerprints)
    AND event.event_id IN (SELECT rejected.event_id FROM rejected WHERE rejected.event_id IS NOT NULL)
  GROUP BY event.event_id
)
SELECT
  rejected.event_id,
  rejected.deliveries,
  rejected.first_rejected_at,
  COALESCE(embedded.encoders, 0) < ARRAY_LENGTH(@fingerprints) AS is_open
FROM rejected
LEFT JOIN embedded ON rejected.event_id = embedded.event_id
ORDER BY rejected.first_rejected_at, rejected.event_id
