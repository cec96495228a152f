-- Return the exports of a snapshot, oldest first.
SELECT
  path,
  made_at
FROM `{{ snapshots }}.export_v1`
WHERE snapshot_id = @snapshot_id
ORDER BY made_at, path
