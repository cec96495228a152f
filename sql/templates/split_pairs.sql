-- Mark the pairs whose events are in different splits.
UPDATE `{{ example }}`
SET removed_by = @step
WHERE
  removed_by IS NULL
  AND example_id IN (
    SELECT pair_event.example_id
    FROM `{{ example }}` AS pair_event
    WHERE pair_event.removed_by IS NULL
    GROUP BY pair_event.example_id
    HAVING COUNT(DISTINCT pair_event.split) > 1
  )
