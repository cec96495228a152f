-- Delete the rows that a step marked from a snapshot that has no manifest yet.
DELETE FROM `{{ snapshots }}.snapshot_v1`
WHERE
  snapshot_id = @snapshot_id
  AND event_id IN (
    SELECT example.event_id
    FROM `{{ example }}` AS example
    WHERE example.removed_by = @step
  )
