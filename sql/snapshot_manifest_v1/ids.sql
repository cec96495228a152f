-- Return the ids of the finished snapshots.
SELECT DISTINCT manifest.snapshot_id
FROM `{{ snapshots }}.snapshot_manifest_v1` AS manifest
