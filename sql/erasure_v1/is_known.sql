-- Return whether the warehouse has a row or a tombstone of an event.
SELECT
  EXISTS (
    SELECT 1
    FROM `{{ events }}.embedding_event_v1` AS event
    WHERE event.occurred_at >= TIMESTAMP '1970-01-01' AND event.stream = @stream AND event.event_id = @event_id
  )
  OR EXISTS (
    SELECT 1
    FROM `{{ events }}.rejection_v1` AS rejection
    WHERE rejection.stream = @stream AND rejection.event_id = @event_id
  )
  OR EXISTS (
    SELECT 1
    FROM `{{ events }}.prediction_v1` AS prediction
    WHERE prediction.stream = @stream AND prediction.event_id = @event_id
  )
  OR EXISTS (
    SELECT 1
    FROM `{{ audit }}.event_tombstone_v1` AS tombstone
    WHERE tombstone.stream = @stream AND tombstone.event_id = @event_id
  ) AS is_known
