-- Count the persons and the events that have a tombstone by an erasure.
SELECT
  (
    SELECT COUNT(DISTINCT tombstone.person_key)
    FROM `{{ audit }}.tombstone_v1` AS tombstone
    WHERE tombstone.certificate_id = @certificate_id
  ) AS persons,
  (
    SELECT COUNT(*)
    FROM `{{ audit }}.event_tombstone_v1` AS tombstone
    WHERE tombstone.certificate_id = @certificate_id
  ) AS events
