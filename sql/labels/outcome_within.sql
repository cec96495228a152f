/*
says: Whether an outcome of the event, or of its person, became known within some days after the event.
kind: event
parameters:
  outcomes: {type: source, says: a table of outcomes}
  by: {type: column, default: person_key, says: 'the column to join by, person_key or event_id'}
  days: {type: integer, minimum: 1, maximum: 3650}
  outcome: {type: class, default: 'yes', says: the label of events with an outcome}
  none: {type: class, default: 'no', says: 'the label of the other events, after the days have passed'}
*/
WITH outcome AS (
  SELECT
    event.event_id,
    MIN(outcomes.known_at) AS known_at
  FROM event
  INNER JOIN {{ outcomes }} AS outcomes ON event.{{ by }} = outcomes.{{ by }}
  WHERE
    outcomes.known_at >= event.occurred_at
    AND outcomes.known_at < TIMESTAMP_ADD(event.occurred_at, INTERVAL @days DAY)
  GROUP BY event.event_id
)

SELECT
  event.event_id,
  IF(outcome.event_id IS NULL, @none, @outcome) AS label,
  COALESCE(outcome.known_at, TIMESTAMP_ADD(event.occurred_at, INTERVAL @days DAY)) AS labelled_at
FROM event
LEFT JOIN outcome ON event.event_id = outcome.event_id
WHERE outcome.event_id IS NOT NULL OR TIMESTAMP_ADD(event.occurred_at, INTERVAL @days DAY) <= @as_of
