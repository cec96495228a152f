-- Return all exports with the names of their datasets, the last first. Whether the files still exist is unknown.
SELECT
  exported.snapshot_id,
  finished.dataset,
  exported.path,
  exported.made_at
FROM `{{ snapshots }}.export_v1` AS exported
LEFT JOIN (
  SELECT DISTINCT
    snapshot_id,
    dataset
  FROM `{{ snapshots }}.snapshot_manifest_v1`
) AS finished ON exported.snapshot_id = finished.snapshot_id
ORDER BY exported.made_at DESC, exported.path ASC
