{#- Return the split of an example; it follows from its person or time, so it does not change when data grows. -#}
{%- if split_by == 'time' -%}
CASE
    WHEN example.occurred_at >= @test_from THEN 'test'
    WHEN example.occurred_at >= @validation_from THEN 'validation'
    ELSE 'train'
  END
{%- else -%}
(
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
            MOD(
              FARM_FINGERPRINT(
                CONCAT(@split_salt, ':', COALESCE(example.person_key, CONCAT('event:', example.event_id)))
              ),
              1000000
            )
            + 1000000,
            1000000
          )
          / 1000000
        ]
      ) AS bucket
  )
{%- endif -%}
