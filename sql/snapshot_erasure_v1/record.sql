-- Record an erasure of rows of a snapshot, unless it is recorded.
INSERT INTO `{{ snapshots }}.snapshot_erasure_v1` (snapshot_id, certificate_id, row_count, row_digest, erased_at)
SELECT
  @snapshot_id,
  @certificate_id,
  @row_count,
  @row_digest,
  @erased_at
FROM (SELECT 1 AS only_once) AS once
WHERE
  NOT EXISTS (
    SELECT 1
    FROM `{{ snapshots }}.snapshot_erasure_v1` AS erasure
    WHERE erasure.snapshot_id = @snapshot_id AND erasure.certificate_id = @certificate_id
  )
