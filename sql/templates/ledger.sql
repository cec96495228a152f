-- Count examples by the step that removed them, NULL for the remaining ones, with what else there is to know of them.
SELECT
  marked.step,
  COUNT(DISTINCT marked.example_id) AS examples,
  MIN(marked.occurred_at) AS first_at,
  MAX(marked.occurred_at) AS last_at,
  COALESCE(LOGICAL_OR(marked.is_tied), FALSE) AS is_tied,
  COUNT(DISTINCT IF(marked.is_conflicting, marked.event_id, NULL)) AS conflicting,
  COUNT(DISTINCT IF(marked.labelled_at < marked.occurred_at, marked.example_id, NULL)) AS known_before,
  COUNT(DISTINCT IF(marked.encoder_hash IS NULL, NULL, marked.event_id)) AS events,
  MIN(marked.encoder_hash) AS least_hash,
  MAX(marked.encoder_hash) AS most_hash,
  COUNT(DISTINCT marked.encoder_hash) AS hashes
FROM (
  SELECT
    COALESCE(example.example_id, example.event_id) AS example_id,
    example.event_id,
    example.occurred_at,
    example.labelled_at,
    example.is_tied,
    example.is_conflicting,
    example.encoder_hash,
    COALESCE(example.removed_by, mark.removed_by) AS step
  FROM `{{ example }}` AS example
  LEFT JOIN `{{ mark }}` AS mark ON COALESCE(example.example_id, example.event_id) = mark.example_id
) AS marked
GROUP BY marked.step
