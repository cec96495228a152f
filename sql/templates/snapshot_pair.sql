-- Return the rows of a snapshot of pairs. Vectors are read here only, once, for the days of the selected examples.
{%- from 'embedding_event_v1/known.sql' import is_known %}
SELECT
  @snapshot_id AS snapshot_id,
  CAST(NULL AS STRING) AS event_id,
  MAX(IF(example.side = 'left', example.event_id, NULL)) AS left_event_id,
  MAX(IF(example.side = 'right', example.event_id, NULL)) AS right_event_id,
  @stream AS stream,
  MAX(example.occurred_at) AS occurred_at,
  MAX(example.label) AS label,
  MAX(example.label_value) AS label_value,
  MAX(example.split) AS split,
  MAX(IF(example.side = 'left', example.person_key, NULL)) AS person_key,
  @fingerprint AS encoder_fingerprint,
  ARRAY_CONCAT_AGG(IF(example.side = 'left', event.embedding, [])) AS embedding,
  ARRAY_CONCAT_AGG(IF(example.side = 'right', event.embedding, [])) AS right_embedding,
  ARRAY_CONCAT_AGG(IF(example.side = 'left', event.attributes, [])) AS attributes
FROM `{{ example }}` AS example
INNER JOIN `{{ events }}.embedding_event`(@start_at, @end_at) AS event ON example.event_id = event.event_id
WHERE
  example.removed_by IS NULL
  AND event.stream = @stream
  AND event.encoder_fingerprint = @fingerprint
  AND {{ is_known('event') }}
GROUP BY example.example_id
