/*
says: The verdict of an event's reviewers, if enough of them reviewed it and all agree. Only the last of each counts.
kind: event
parameters:
  reviews: {type: source, says: 'a table with event_id, reviewer and verdict'}
  reviewer: {type: column, default: reviewer}
  verdict: {type: column, default: verdict}
  reviewers: {type: integer, default: 2, minimum: 1}
*/
WITH last_review AS (
  SELECT
    review.event_id,
    review.{{ verdict }} AS verdict,
    review.known_at
  FROM {{ reviews }} AS review
  QUALIFY
    ROW_NUMBER() OVER (
      PARTITION BY review.event_id, review.{{ reviewer }}
      ORDER BY review.known_at DESC, review.{{ verdict }}
    )
    = 1
)

SELECT
  last_review.event_id,
  MIN(last_review.verdict) AS label,
  MAX(last_review.known_at) AS labelled_at
FROM last_review
GROUP BY last_review.event_id
HAVING COUNT(*) >= @reviewers AND COUNT(DISTINCT last_review.verdict) = 1 AND COUNT(last_review.verdict) = COUNT(*)
