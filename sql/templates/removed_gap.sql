-- Return the examples in the gap before a boundary, which separates the splits in time.
SELECT remaining.example_id
FROM remaining
WHERE
  (
    remaining.occurred_at < @validation_from
    AND remaining.occurred_at >= TIMESTAMP_SUB(@validation_from, INTERVAL @gap_seconds SECOND)
  )
  OR (
    remaining.occurred_at < @test_from
    AND remaining.occurred_at >= TIMESTAMP_SUB(@test_from, INTERVAL @gap_seconds SECOND)
  )
