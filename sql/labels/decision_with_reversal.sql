/*
says: The decision about an event, unless it was reversed later.
kind: event
parameters:
  decisions: {type: source, says: a table with event_id and the decision}
  decision: {type: column, default: decision}
  reversals: {type: source, says: a table with the event_id of each reversed decision}
  reversed: {type: class, optional: true, says: the label of a reversed decision; without it there is none}
*/
SELECT
  decided.event_id,
  {{ 'CAST(decided.' if reversed else 'decided.' }}{{ decision }}{{ ' AS STRING)' if reversed }} AS label,
  decided.known_at AS labelled_at
FROM {{ decisions }} AS decided
UNION ALL
SELECT
  reversal.event_id,
  {{ '@reversed' if reversed else 'NULL' }} AS label,
  reversal.known_at AS labelled_at
FROM {{ reversals }} AS reversal
