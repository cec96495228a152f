-- Delete rows without a manifest, except those of running builds.
DELETE FROM `{{ snapshots }}.snapshot_v1`
WHERE
  snapshot_id NOT IN (
    SELECT manifest.snapshot_id
    FROM `{{ snapshots }}.snapshot_manifest_v1` AS manifest
  )
  AND snapshot_id NOT IN UNNEST(@live)
