-- Return the finished snapshots, the one that a build asked for last first: all, those of a dataset, or the one with an
-- id. Each is returned once, as it was committed first.
SELECT
  dataset,
  snapshot_id,
  spec,
  sql_digest,
  as_of,
  fingerprint,
  sources,
  ledger,
  counts,
  row_digest,
  bytes_processed,
  created_at
FROM `{{ snapshots }}.snapshot_manifest_v1`
WHERE @reference IS NULL OR dataset = @reference OR snapshot_id = @reference
QUALIFY ROW_NUMBER() OVER (PARTITION BY snapshot_id ORDER BY created_at, row_digest) = 1
ORDER BY COALESCE(requested_at, created_at) DESC, snapshot_id ASC
