/*
says: Whether an outcome of the event, or of its person, became known within some days after the event.
kind: event
parameters:
  outcomes: {type: source, says: a table of outcomes}
  by: {type: column, default: person_key, says: 'the column to join by, person_key or event_id'}
  days: {type: integer, minimum: 1, maximum: 3650}
  outcome: {type: class, default: 'yes', says: the label of events with an outcome}
  none: {type: class, default: 'no', says: 'the label of the other events'}
*/
-- Every label is known when the days have passed, also that of an event whose outcome is known at once: among the
-- youngest events there would otherwise be outcomes only.
WITH first_outcome AS (
  SELECT DISTINCT event.event_id
  FROM event
  INNER JOIN {{ outcomes }} AS outcomes ON event.{{ by }} = outcomes.{{ by }}
  WHERE
    outcomes.known_at >= event.occurred_at
    AND outcomes.known_at < TIMESTAMP_ADD(event.occurred_at, INTERVAL @days DAY)
)

SELECT
  event.event_id,
  IF(first_outcome.event_id IS NULL, @none, @outcome) AS label,
  TIMESTAMP_ADD(event.occurred_at, INTERVAL @days DAY) AS labelled_at
FROM event
LEFT JOIN first_outcome ON event.event_id = first_outcome.event_id
