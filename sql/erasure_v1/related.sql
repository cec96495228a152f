-- Insert what the subject map knows of the persons in the list and the list lacks: their pseudonyms under every key,
-- and the keys of the persons themselves. It is repeated until it inserts nothing.
INSERT INTO `{{ subject_list }}` (subject_key, person_key, is_mapped)
WITH listed AS (
  SELECT subject_list.subject_key AS listed_key
  FROM `{{ subject_list }}` AS subject_list
  UNION DISTINCT
  SELECT subject_list.person_key AS listed_key
  FROM `{{ subject_list }}` AS subject_list
),
related AS (
  SELECT
    known.subject_key,
    known.person_key
  FROM `{{ subjects }}.subject_map_v1` AS known
  WHERE
    known.subject_key IN (SELECT listed.listed_key FROM listed)
    OR known.person_key IN (SELECT listed.listed_key FROM listed)
),
candidate AS (
  SELECT DISTINCT
    related.subject_key,
    related.person_key
  FROM related
  UNION DISTINCT
  SELECT DISTINCT
    related.person_key AS subject_key,
    related.person_key
  FROM related
)
SELECT
  candidate.subject_key,
  candidate.person_key,
  TRUE AS is_mapped
FROM candidate
LEFT JOIN `{{ subject_list }}` AS present
  ON
    candidate.subject_key = present.subject_key
    AND candidate.person_key = present.person_key
    AND present.is_mapped
WHERE present.subject_key IS NULL
