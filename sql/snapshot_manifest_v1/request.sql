-- Record that a build asked for a finished snapshot again, unless a later request is recorded.
UPDATE `{{ snapshots }}.snapshot_manifest_v1`
SET requested_at = @requested_at
WHERE snapshot_id = @snapshot_id AND (requested_at IS NULL OR requested_at < @requested_at)
