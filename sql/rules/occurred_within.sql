/*
says: Keeps events that occurred within the given months and days before the as-of.
without_subject: judge
constants: [UTC]
parameters:
  months: {type: integer, default: 0, minimum: 0, maximum: 1200}
  days: {type: integer, default: 0, minimum: 0, maximum: 36500}
*/
SELECT
  event.example_id,
  event.event_id
FROM event
WHERE
  event.occurred_at >= TIMESTAMP(
    DATETIME_SUB(DATETIME_SUB(DATETIME(@as_of, 'UTC'), INTERVAL @months MONTH), INTERVAL @days DAY), 'UTC'
  )
