-- Count the requested persons who have no tombstone by an erasure.
SELECT COUNT(DISTINCT subject_list.subject_key) AS uncovered
FROM `{{ subject_list }}` AS subject_list
LEFT JOIN (
  SELECT tombstone_key
  FROM `{{ audit }}.tombstone_v1` AS tombstone, UNNEST(tombstone.subject_keys) AS tombstone_key
  WHERE tombstone.certificate_id = @certificate_id
) AS written
  ON subject_list.subject_key = written.tombstone_key
WHERE written.tombstone_key IS NULL
