/*
says: Keeps events before which the person ordered for at least an amount, and whose order was never lost.
without_subject: drop
cuts: [as_of, event]
parameters:
  amount: {type: integer}
*/
SELECT
  event.example_id,
  event.event_id
FROM event
WHERE
  EXISTS (SELECT 1 FROM orders WHERE orders.event_id = event.event_id AND orders.amount >= @amount)
  AND NOT EXISTS (SELECT 1 FROM order_lost WHERE order_lost.person_key = event.person_key)
