-- Return the events of a stream that a pipeline wrote since a time, among those with these ids, and how: one row for
-- each event and outcome. Deliveries are counted, not events, so the tables are read and not their functions.
SELECT
  embedded.event_id,
  TRUE AS is_embedded
FROM `{{ events }}.embedding_event_v1` AS embedded
WHERE
  embedded.occurred_at >= @start_of_events
  AND embedded.logged_at >= @start_at
  AND embedded.stream = @stream
  AND embedded.event_id IN UNNEST(@event_ids)
UNION DISTINCT
SELECT
  rejected.event_id,
  FALSE AS is_embedded
FROM `{{ events }}.rejection_v1` AS rejected
WHERE
  rejected.rejected_at >= @start_at
  AND rejected.stream = @stream
  AND rejected.event_id IN UNNEST(@event_ids)
