-- Return the erasures that wrote a tombstone of one event.
SELECT event_tombstone.certificate_id
FROM `{{ audit }}.event_tombstone_v1` AS event_tombstone
WHERE event_tombstone.stream = @stream AND event_tombstone.event_id = @event_id
