-- Return the predictions of each day in [start_at, end_at), for each version of a head and each class that was the most
-- probable one, with the mean probability of that class; for abstentions the class is NULL, and the reason is given. Of
-- predictions that were made again for the same event and caller, only the first one of these days counts.
WITH answered AS (
  SELECT
    prediction.stream,
    prediction.head,
    prediction.version,
    prediction.abstention,
    prediction.predicted_at,
    (
      SELECT ARRAY_AGG(likely ORDER BY likely.probability DESC, likely.class ASC LIMIT 1)[SAFE_OFFSET(0)]
      FROM UNNEST(prediction.probabilities) AS likely
    ) AS top
  FROM `{{ events }}.prediction_v1` AS prediction
  WHERE prediction.predicted_at >= @start_at AND prediction.predicted_at < @end_at
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY
      prediction.stream, prediction.event_id, prediction.caller_key, prediction.head, prediction.version
    ORDER BY prediction.predicted_at
  ) = 1
)
SELECT
  answered.stream,
  answered.head,
  answered.version,
  answered.abstention,
  answered.top.class AS class,
  TIMESTAMP_TRUNC(answered.predicted_at, DAY) AS day,
  COUNT(*) AS predictions,
  AVG(answered.top.probability) AS mean_probability
FROM answered
GROUP BY answered.stream, answered.head, answered.version, answered.abstention, class, day
ORDER BY answered.stream, answered.head, answered.version, day, class, answered.abstention
