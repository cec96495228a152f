/*
says: Keeps at most a number of events per person, selected by a salted hash.
without_subject: keep
parameters:
  events: {type: integer, minimum: 1}
  salt: {type: string, default: a}
*/
SELECT
  event.example_id,
  event.event_id
FROM event
QUALIFY
  ROW_NUMBER() OVER (
    PARTITION BY event.person_key
    ORDER BY FARM_FINGERPRINT(CONCAT(@salt, ':', event.event_id)), event.event_id, event.example_id
  )
  <= @events
