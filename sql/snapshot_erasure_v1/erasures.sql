-- Return the erasures of rows from snapshots, or from one of them, oldest first.
SELECT
  erasure.snapshot_id,
  erasure.certificate_id,
  erasure.row_count,
  erasure.row_digest,
  erasure.erased_at
FROM `{{ snapshots }}.snapshot_erasure_v1` AS erasure
WHERE @snapshot_id IS NULL OR erasure.snapshot_id = @snapshot_id
QUALIFY
  ROW_NUMBER() OVER (PARTITION BY erasure.snapshot_id, erasure.certificate_id ORDER BY erasure.erased_at) = 1
ORDER BY erasure.erased_at, erasure.certificate_id
