-- Add the pseudonyms that persons with a tombstone have got since, under other keys, to further tombstones of the same
-- erasures.
INSERT INTO `{{ audit }}.tombstone_v1` (person_key, subject_keys, erased_before, certificate_id)
WITH written AS (
  SELECT
    tombstone.person_key,
    tombstone_key,
    tombstone.erased_before,
    tombstone.certificate_id
  FROM `{{ audit }}.tombstone_v1` AS tombstone, UNNEST(tombstone.subject_keys) AS tombstone_key
),
later AS (
  SELECT DISTINCT
    written.person_key,
    known.subject_key,
    written.erased_before,
    written.certificate_id
  FROM `{{ subjects }}.subject_map_v1` AS known
  INNER JOIN written ON known.person_key = written.tombstone_key
)
SELECT
  later.person_key,
  ARRAY_AGG(later.subject_key ORDER BY later.subject_key) AS subject_keys,
  later.erased_before,
  later.certificate_id
FROM later
LEFT JOIN written ON later.certificate_id = written.certificate_id AND later.subject_key = written.tombstone_key
WHERE written.tombstone_key IS NULL
GROUP BY later.person_key, later.erased_before, later.certificate_id
