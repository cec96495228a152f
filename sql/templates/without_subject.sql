-- Mark the examples without a person.
UPDATE `{{ example }}`
SET removed_by = @step
WHERE
  removed_by IS NULL
  AND example_id IN (SELECT nobody.example_id FROM `{{ example }}` AS nobody WHERE nobody.person_key IS NULL)
