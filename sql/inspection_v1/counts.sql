-- Return how many items of each stream each account inspected for which reason, without the ids of the events.
SELECT
  inspected.stream,
  inspected.reason,
  inspected.inspected_by,
  COUNT(*) AS inspections,
  MAX(inspected.inspected_at) AS last_at
FROM `{{ audit }}.inspection_v1` AS inspected
WHERE inspected.inspected_at >= @since
GROUP BY inspected.stream, inspected.reason, inspected.inspected_by
ORDER BY inspected.stream, inspected.reason, inspected.inspected_by
