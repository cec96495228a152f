-- Insert the pseudonyms of the requested persons into the list of an erasure: those computed from their ids, and those
-- that the subject map has for the ids.
INSERT INTO `{{ subject_list }}` (subject_key, person_key, is_mapped)
SELECT DISTINCT
  requested.subject_key,
  requested.subject_key AS person_key,
  FALSE AS is_mapped
FROM `{{ requested }}` AS requested
UNION DISTINCT
SELECT DISTINCT
  known.subject_key,
  known.person_key,
  TRUE AS is_mapped
FROM `{{ subjects }}.subject_map_v1` AS known
WHERE known.customer_id IN (SELECT requested.customer_id FROM `{{ requested }}` AS requested)
