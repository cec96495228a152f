/*
says: What reviewers say of an event, if enough of them do and all say the same. The last word of each counts.
kind: event
parameters:
  reviews: {type: source, says: 'a table with event_id, reviewer and verdict'}
  reviewer: {type: column, default: reviewer}
  verdict: {type: column, default: verdict}
  reviewers: {type: integer, default: 2, minimum: 1}
*/
WITH word AS (
  SELECT
    review.event_id,
    review.{{ verdict }} AS verdict,
    review.known_at
  FROM {{ reviews }} AS review
  QUALIFY
    ROW_NUMBER() OVER (
      PARTITION BY review.event_id, review.{{ reviewer }}
      ORDER BY review.known_at DESC, CAST(review.{{ verdict }} AS STRING)
    )
    = 1
)

SELECT
  word.event_id,
  CAST(MIN(word.verdict) AS STRING) AS label,
  MAX(word.known_at) AS labelled_at
FROM word
GROUP BY word.event_id
HAVING COUNT(*) >= @reviewers AND COUNT(DISTINCT word.verdict) = 1 AND COUNT(word.verdict) = COUNT(*)
