-- Return the predictions of each day in [start_at, end_at), for each version of a head and each class that was the most
-- probable one, with the mean probability of that class; for abstentions the class is NULL, and the reason is given.
-- A prediction counts once however often it was made, and what was erased does not count.
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
  FROM `{{ events }}.prediction`(@start_at, @end_at) AS prediction
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
