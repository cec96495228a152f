-- Write the tombstone of one event.
INSERT INTO `{{ audit }}.event_tombstone_v1` (stream, event_id, erased_at, certificate_id)
SELECT
  @stream AS stream,
  @event_id AS event_id,
  @erased_before AS erased_at,
  @certificate_id AS certificate_id
