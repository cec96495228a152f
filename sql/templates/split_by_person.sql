-- Assign each person to one split by a salted hash, which does not change when data grows; without a person, each
-- event.
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
