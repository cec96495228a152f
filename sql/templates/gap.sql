-- Mark the examples in the gap before a boundary, which separates the splits in time.
UPDATE `{{ example }}`
SET removed_by = @step
WHERE
  removed_by IS NULL
  AND example_id IN (
    SELECT close.example_id
    FROM `{{ example }}` AS close
    WHERE
      (
        close.occurred_at < @validation_from
        AND close.occurred_at >= TIMESTAMP_SUB(@validation_from, INTERVAL @gap_seconds SECOND)
      )
      OR (
        close.occurred_at < @test_from
        AND close.occurred_at >= TIMESTAMP_SUB(@test_from, INTERVAL @gap_seconds SECOND)
      )
  )
