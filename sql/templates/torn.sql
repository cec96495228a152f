-- Mark the pairs whose events are in different splits.
UPDATE `{{ example }}`
SET removed_by = @step
WHERE
  removed_by IS NULL
  AND example_id IN (
    SELECT torn.example_id
    FROM `{{ example }}` AS torn
    WHERE torn.removed_by IS NULL
    GROUP BY torn.example_id
    HAVING COUNT(DISTINCT torn.split) > 1
  )
