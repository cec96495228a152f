-- Fill the list of an erasure from its tombstones.
INSERT INTO `{{ subject_list }}` (subject_key, person_key, is_mapped)
SELECT DISTINCT
  tombstone_key AS subject_key,
  tombstone.person_key,
  TRUE AS is_mapped
FROM `{{ audit }}.tombstone_v1` AS tombstone, UNNEST(tombstone.subject_keys) AS tombstone_key
WHERE tombstone.certificate_id = @certificate_id
