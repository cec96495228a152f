/*
says: Keeps events for which an attribute has one of the given values.
without_subject: judge
parameters:
  attribute: {type: string}
  values: {type: strings}
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
