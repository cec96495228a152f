/*
says: Keeps a share of the examples, selected by a salted hash.
without_subject: judge
constants: [':']
parameters:
  share: {type: number, minimum: 0, maximum: 1}
  salt: {type: string, pattern: '[a-z0-9_-]{1,16}', default: a}
*/
SELECT
  event.example_id,
  event.event_id
FROM event
WHERE
  MOD(MOD(FARM_FINGERPRINT(CONCAT(@salt, ':', event.example_id)), 1000000) + 1000000, 1000000) / 1000000 < @share
