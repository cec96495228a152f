/*
says: Keeps events for which an attribute has one of the given values.
without_subject: judge
parameters:
  attribute: {type: string, pattern: '[a-z][a-z0-9_]{0,62}'}
  values: {type: strings, pattern: '[A-Za-z0-9_.:%/+-]{1,32}'}
*/
SELECT
  event.example_id,
  event.event_id
FROM event
WHERE
  EXISTS (
    SELECT 1
    FROM UNNEST(event.attributes) AS attribute
    WHERE attribute.key = @attribute AND attribute.value IN UNNEST(@values)
  )
