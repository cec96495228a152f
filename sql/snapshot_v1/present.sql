-- Return whether an event is in a snapshot, as 0 or 1.
SELECT COUNT(*) AS found
FROM `{{ snapshots }}.snapshot_v1` AS row
WHERE row.snapshot_id = @snapshot_id AND row.event_id = @event_id
