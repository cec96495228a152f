-- Assign splits by time: train, then validation, then test.
UPDATE `{{ example }}`
SET
  split = CASE
    WHEN occurred_at >= @test_from THEN 'test'
    WHEN occurred_at >= @validation_from THEN 'validation'
    ELSE 'train'
  END
WHERE removed_by IS NULL
