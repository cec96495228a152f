{#- The persons and the events that were erased, for WITH; to be joined by `subject_key`, and by `stream, event_id`. -#}
erased AS (
  SELECT
    subject_key,
    MAX(tombstone.erased_before) AS erased_before
  FROM `{{ audit }}.tombstone_v1` AS tombstone, UNNEST(tombstone.subject_keys) AS subject_key
  GROUP BY subject_key
),
erased_event AS (
  SELECT DISTINCT
    tombstone.stream,
    tombstone.event_id
  FROM `{{ audit }}.event_tombstone_v1` AS tombstone
)
