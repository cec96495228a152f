-- Return the times of all deliveries: from the bytes that this reads follows how many there are.
SELECT event.occurred_at
FROM `{{ events }}.embedding_event_v1` AS event
WHERE event.occurred_at >= @start_at AND event.occurred_at < @end_at
