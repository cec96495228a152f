-- One split a person, by a salted hash: unmoved when data grows. Without a person, by event.
UPDATE `{{ example }}`
SET
  split = (
    SELECT
      CASE
        WHEN bucket < @train THEN 'train'
        WHEN bucket < @train_and_validation THEN 'validation'
        ELSE 'test'
      END
    FROM
      UNNEST(
        [
          MOD(
            MOD(FARM_FINGERPRINT(CONCAT(@salt, ':', COALESCE(person_key, CONCAT('event:', event_id)))), 1000000)
            + 1000000,
            1000000
          )
          / 1000000
        ]
      ) AS bucket
  )
WHERE removed_by IS NULL
