/*
says: What staff confirmed of an event.
kind: event
*/
SELECT
  confirmed.event_id,
  confirmed.value AS label,
  confirmed.confirmed_at AS labelled_at
FROM confirmed
