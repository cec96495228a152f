-- Write the tombstones of the events in the list of an erasure that have none by it.
INSERT INTO `{{ audit }}.event_tombstone_v1` (stream, event_id, erased_at, certificate_id)
SELECT
  event_list.stream,
  event_list.event_id,
  @erased_before AS erased_at,
  @certificate_id AS certificate_id
FROM `{{ event_list }}` AS event_list
LEFT JOIN (
  SELECT
    tombstone.stream,
    tombstone.event_id
  FROM `{{ audit }}.event_tombstone_v1` AS tombstone
  WHERE tombstone.certificate_id = @certificate_id
) AS written
  ON event_list.stream = written.stream AND event_list.event_id = written.event_id
WHERE event_list.is_kept AND written.event_id IS NULL
