-- Return the heads that were trained on a snapshot, oldest first.
SELECT
  registered.head,
  registered.version,
  registered.created_at
FROM `{{ snapshots }}.head_v1` AS registered
WHERE registered.snapshot_id = @snapshot_id
ORDER BY registered.created_at, registered.head, registered.version
