-- Delete the rows of a build that failed.
DELETE FROM `{{ snapshots }}.snapshot_v1`
WHERE snapshot_id = @snapshot_id
