-- Return the erasures by their tombstones, oldest first, and whether each is finished.
WITH written AS (
  SELECT
    tombstone.certificate_id,
    tombstone.erased_before
  FROM `{{ audit }}.tombstone_v1` AS tombstone
  UNION ALL
  SELECT
    tombstone.certificate_id,
    tombstone.erased_at AS erased_before
  FROM `{{ audit }}.event_tombstone_v1` AS tombstone
),
finished AS (
  SELECT DISTINCT erasure.certificate_id
  FROM `{{ audit }}.erasure_v1` AS erasure
  WHERE erasure.object_kind = 'certificate'
)
SELECT
  written.certificate_id,
  MAX(written.erased_before) AS erased_before,
  LOGICAL_OR(finished.certificate_id IS NOT NULL) AS is_finished
FROM written
LEFT JOIN finished ON written.certificate_id = finished.certificate_id
GROUP BY written.certificate_id
ORDER BY erased_before, written.certificate_id
