-- Return whether an event is in a snapshot, as 0 or 1.
SELECT COUNT(*) AS found
FROM `{{ snapshot }}` AS row
WHERE row.event_id = @event_id
