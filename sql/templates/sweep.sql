-- Takes out the rows that no manifest tells of, but for those of builds that go on.
DELETE FROM `{{ snapshots }}.snapshot_v1`
WHERE
  snapshot_id NOT IN (
    SELECT manifest.snapshot_id
    FROM `{{ snapshots }}.snapshot_manifest_v1` AS manifest
  )
  AND snapshot_id NOT IN UNNEST(@live)
