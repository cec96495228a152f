/*
says: Keeps persons who ordered.
without_subject: drop
cuts: [as_of, event]
*/
SELECT
  event.example_id,
  event.event_id
FROM event
WHERE event.person_key IN (SELECT bought.person_key FROM orders AS bought)
