/*
says: Keeps events before an hour of the day, where they occurred.
without_subject: drop
constants: ['%H']
parameters:
  hour: {type: integer, minimum: 0, maximum: 24}
  zone: {type: string, values: [UTC, Asia/Kolkata], default: UTC}
*/
SELECT
  event.example_id,
  event.event_id
FROM event
WHERE SAFE_CAST(FORMAT_TIMESTAMP('%H', event.occurred_at, @zone) AS INT64) < @hour
