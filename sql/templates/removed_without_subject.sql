-- Return the examples without a person.
SELECT remaining.example_id
FROM remaining
WHERE remaining.person_key IS NULL
