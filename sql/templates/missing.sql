-- Count the rows of a snapshot that another one lacks, and those among them whose persons were erased.
WITH erased_person AS (
  SELECT DISTINCT tombstone.person_key
  FROM `{{ audit }}.tombstone_v1` AS tombstone
),
present AS (
  SELECT COALESCE(event_id, TO_JSON_STRING([left_event_id, right_event_id])) AS example_id
  FROM `{{ after_snapshot }}`
)
SELECT
  COUNT(*) AS missing,
  COUNT(erased_person.person_key) AS erased
FROM `{{ before_snapshot }}` AS snapshot
LEFT JOIN present
  ON COALESCE(snapshot.event_id, TO_JSON_STRING([snapshot.left_event_id, snapshot.right_event_id])) = present.example_id
LEFT JOIN erased_person ON snapshot.person_key = erased_person.person_key
WHERE present.example_id IS NULL
