-- Return whether the warehouse knows an event, by an embedding or by a rejection.
SELECT
  EXISTS (
    SELECT 1
    FROM `{{ events }}.embedding_event_v1` AS event
    WHERE event.occurred_at >= @start_of_events AND event.stream = @stream AND event.event_id = @event_id
  )
  OR EXISTS (
    SELECT 1
    FROM `{{ events }}.rejection_v1` AS rejected
    WHERE rejected.rejected_at >= @start_of_events AND rejected.stream = @stream AND rejected.event_id = @event_id
  ) AS is_known
