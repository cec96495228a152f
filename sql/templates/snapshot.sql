-- Return the rows of a snapshot. Vectors are read here only, once, for the days of the selected examples.
{%- from 'embedding_event_v1/known.sql' import is_known %}
SELECT
  @snapshot_id AS snapshot_id,
  example.event_id,
  CAST(NULL AS STRING) AS left_event_id,
  CAST(NULL AS STRING) AS right_event_id,
  event.stream,
  example.occurred_at,
  example.label,
  example.label_value,
  example.split,
  example.person_key,
  event.encoder_fingerprint,
  event.embedding,
  CAST([] AS ARRAY<FLOAT64>) AS right_embedding,
  event.attributes
FROM `{{ example }}` AS example
INNER JOIN `{{ events }}.embedding_event`(@start_at, @end_at) AS event ON example.event_id = event.event_id
WHERE
  example.removed_by IS NULL
  AND event.stream = @stream
  AND event.encoder_fingerprint = @fingerprint
  AND {{ is_known('event') }}
