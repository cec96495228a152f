-- Return the pairs whose events are in different splits.
SELECT remaining.example_id
FROM remaining
GROUP BY remaining.example_id
HAVING COUNT(DISTINCT remaining.split) > 1
