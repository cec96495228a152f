-- Record that a build asked for a finished snapshot again.
UPDATE `{{ snapshots }}.snapshot_manifest_v1`
SET requested_at = @requested_at
WHERE snapshot_id = @snapshot_id
