-- Return the state of the events of a stream that were rejected for one reason: one row for each event, and one for all
-- deliveries whose id could not be stored. An event is open while one of the encoders has not embedded it. The function
-- is read, not the table, so that rows with the reason's former code are found too.
WITH rejected AS (
  SELECT
    rejection.event_id,
    COUNT(DISTINCT rejection.message_id) AS deliveries,
    MIN(rejection.rejected_at) AS first_rejected_at
  FROM `{{ events }}.rejection`(@start_at, @end_at) AS rejection
  WHERE rejection.stream = @stream AND rejection.reason = @reason
  GROUP BY rejection.event_id
),
embedded AS (
  SELECT
    event.event_id,
    COUNT(DISTINCT event.encoder_fingerprint) AS encoders
  FROM `{{ events }}.embedding_event_v1` AS event
  WHERE
    event.occurred_at >= @start_of_events
    AND event.stream = @stream
    AND event.origin = 'ingest'
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
