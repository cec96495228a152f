-- Write the tombstones of the persons in the list of an erasure that have none by it. From then on readers leave their
-- rows out, and an interrupted erasure can be finished.
INSERT INTO `{{ audit }}.tombstone_v1` (person_key, subject_keys, erased_before, certificate_id)
WITH person AS (
  SELECT
    subject_list.subject_key,
    COALESCE(MIN(IF(subject_list.is_mapped, subject_list.person_key, NULL)), subject_list.subject_key) AS person_key
  FROM `{{ subject_list }}` AS subject_list
  GROUP BY subject_list.subject_key
),
pseudonym AS (
  SELECT
    person.person_key,
    person.subject_key
  FROM person
  UNION DISTINCT
  SELECT
    person.person_key,
    subject_list.person_key AS subject_key
  FROM person
  INNER JOIN `{{ subject_list }}` AS subject_list ON person.subject_key = subject_list.subject_key
)
SELECT
  pseudonym.person_key,
  ARRAY_AGG(pseudonym.subject_key ORDER BY pseudonym.subject_key) AS subject_keys,
  @erased_before AS erased_before,
  @certificate_id AS certificate_id
FROM pseudonym
LEFT JOIN (
  SELECT tombstone_key
  FROM `{{ audit }}.tombstone_v1` AS tombstone, UNNEST(tombstone.subject_keys) AS tombstone_key
  WHERE tombstone.certificate_id = @certificate_id
) AS written
  ON pseudonym.subject_key = written.tombstone_key
WHERE written.tombstone_key IS NULL
GROUP BY pseudonym.person_key
