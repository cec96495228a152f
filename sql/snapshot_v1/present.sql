-- Whether an event is a row of a snapshot.
SELECT COUNT(*) AS found
FROM `{{ snapshots }}.snapshot_v1` AS row
WHERE row.snapshot_id = @snapshot_id AND row.event_id = @event_id
