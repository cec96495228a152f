-- Return the finished snapshots of each dataset, the one that a build asked for last first, without file and SQL. Each
-- is returned once, as it was committed first. The file of an earlier version is not below `spec`.
SELECT
  manifest.dataset,
  manifest.snapshot_id,
  COALESCE(JSON_VALUE(manifest.spec, '$.spec.stream'), JSON_VALUE(manifest.spec, '$.stream')) AS stream,
  COALESCE(JSON_VALUE(manifest.spec, '$.spec.encoder'), JSON_VALUE(manifest.spec, '$.encoder')) AS encoder,
  manifest.fingerprint AS encoder_fingerprint,
  manifest.as_of,
  manifest.created_at,
  COALESCE(manifest.requested_at, manifest.created_at) AS asked_at,
  manifest.counts,
  ARRAY(SELECT source.table_name FROM UNNEST(manifest.sources) AS source ORDER BY source.table_name) AS sources,
  (SELECT SUM(line.removed) FROM UNNEST(manifest.ledger) AS line) AS removed
FROM `{{ snapshots }}.snapshot_manifest_v1` AS manifest
QUALIFY ROW_NUMBER() OVER (PARTITION BY manifest.snapshot_id ORDER BY manifest.created_at, manifest.row_digest) = 1
ORDER BY manifest.dataset ASC, asked_at DESC, manifest.snapshot_id ASC
