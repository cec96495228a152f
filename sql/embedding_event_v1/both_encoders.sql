-- Return how many events of a stream two encoders embedded, and how many the first did in the days before its last one.
WITH event AS (
  SELECT
    logged.event_id,
    MIN(logged.occurred_at) AS occurred_at,
    LOGICAL_OR(logged.encoder_fingerprint = @first) AS has_first,
    LOGICAL_OR(logged.encoder_fingerprint = @second) AS has_second
  FROM `{{ events }}.embedding_event_v1` AS logged
  WHERE
    logged.occurred_at >= TIMESTAMP_SECONDS(0)
    AND logged.stream = @stream
    AND logged.encoder_fingerprint IN (@first, @second)
  GROUP BY logged.event_id
),
span AS (
  SELECT MAX(event.occurred_at) AS last_at FROM event WHERE event.has_first
)
SELECT
  COUNTIF(event.has_first) AS first_events,
  COUNTIF(event.has_first AND event.has_second) AS both_events,
  COUNTIF(event.has_first AND event.occurred_at > TIMESTAMP_SUB(span.last_at, INTERVAL @days DAY)) AS recent_events,
  MIN(IF(event.has_first, event.occurred_at, NULL)) AS first_at,
  MAX(span.last_at) AS last_at
FROM event
CROSS JOIN span
