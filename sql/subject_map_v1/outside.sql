-- Count the persons who have events under former keys and no row in the subject map. Nobody can tell their pseudonyms
-- under a new key.
SELECT COUNT(DISTINCT event.subject_key) AS persons
FROM `{{ events }}.embedding_event_v1` AS event
LEFT JOIN `{{ subject_map }}` AS known ON event.subject_key = known.subject_key
WHERE
  event.occurred_at >= TIMESTAMP '1970-01-01'
  AND event.subject_key IS NOT NULL
  AND known.subject_key IS NULL
