INSERT INTO `{{ snapshots }}.export_v1` (snapshot_id, path, made_at)
VALUES (@snapshot_id, @path, @made_at)
