-- Return how the predictions of one version of a head agree with labels that are known by now: for each label, and each
-- class that was predicted (NULL for an abstention), the number of events. The first prediction of an event in
-- [start_at, end_at) counts. Labels are those of a snapshot; events of which the version has learned, which are in the
-- splits train and validation of the snapshot that it was trained on, are left out.
WITH first_prediction AS (
  SELECT
    prediction.stream,
    prediction.event_id,
    (
      SELECT ARRAY_AGG(likely.class ORDER BY likely.probability DESC, likely.class ASC LIMIT 1)[SAFE_OFFSET(0)]
      FROM UNNEST(prediction.probabilities) AS likely
    ) AS class
  FROM `{{ events }}.prediction`(@start_at, @end_at) AS prediction
  WHERE prediction.head = @head AND prediction.version = @version
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY prediction.stream, prediction.event_id ORDER BY prediction.predicted_at, prediction.caller_key
  ) = 1
),
learned AS (
  SELECT
    example.stream,
    example.event_id
  FROM `{{ snapshot }}` AS example
  WHERE example.split IN ('train', 'validation') AND example.event_id IS NOT NULL
)
SELECT
  known.label,
  first_prediction.class,
  COUNT(*) AS events
FROM first_prediction
INNER JOIN `{{ labels }}` AS known
  ON first_prediction.stream = known.stream AND first_prediction.event_id = known.event_id
LEFT JOIN learned ON known.stream = learned.stream AND known.event_id = learned.event_id
WHERE known.label IS NOT NULL AND learned.event_id IS NULL
GROUP BY known.label, first_prediction.class
ORDER BY known.label, first_prediction.class
