-- Count the eligible events, and those among them that occurred since a time.
SELECT
  COUNT(event.event_id) AS row_count,
  COUNTIF(event.occurred_at >= @fresh_from) AS fresh
FROM `{{ event }}` AS event
