/*
says: Keeps at most a number of events per person, selected by a salted hash.
without_subject: keep
constants: [':']
parameters:
  events: {type: integer, minimum: 1}
  salt: {type: string, pattern: '[a-z0-9_-]{1,16}', default: a}
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
