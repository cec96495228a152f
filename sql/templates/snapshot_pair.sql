-- Return the rows of a snapshot of pairs. Vectors are read here only: once, of one encoder, on the days of the selected
-- events.
WITH {% include 'templates/selected_vectors.sql' %},
selected AS (
  SELECT
    CAST(NULL AS STRING) AS event_id,
    MAX(IF(vector.side = 'left', vector.event_id, NULL)) AS left_event_id,
    MAX(IF(vector.side = 'right', vector.event_id, NULL)) AS right_event_id,
    @stream AS stream,
    MAX(vector.occurred_at) AS occurred_at,
    MAX(vector.logged_at) AS logged_at,
    MAX(vector.label) AS label,
    MAX(vector.label_value) AS label_value,
    MAX(vector.split) AS split,
    MAX(IF(vector.side = 'left', vector.person_key, NULL)) AS person_key,
    {%- if adapted %}
    -- A pair is adapted if one of its vectors is.
    IF(
      LOGICAL_OR(vector.encoder_fingerprint = @adapted_fingerprint), @adapted_fingerprint, @target_fingerprint
    ) AS encoder_fingerprint,
    {%- else %}
    @fingerprint AS encoder_fingerprint,
    {%- endif %}
    -- 0, which no vector has, for two of different dimensions.
    IF(
      MIN(ARRAY_LENGTH(vector.embedding)) = MAX(ARRAY_LENGTH(vector.embedding)), MIN(ARRAY_LENGTH(vector.embedding)), 0
    ) AS dimension,
    ARRAY_CONCAT_AGG(IF(vector.side = 'left', vector.embedding, [])) AS embedding,
    ARRAY_CONCAT_AGG(IF(vector.side = 'right', vector.embedding, [])) AS right_embedding,
    ARRAY_CONCAT_AGG(IF(vector.side = 'left', vector.attributes, [])) AS attributes,
    CAST([] AS ARRAY<STRUCT<name STRING, value FLOAT64, category STRING>>) AS features,
    CAST(NULL AS BOOL) AS is_capped
  FROM vector
  GROUP BY vector.example_id
)
{% include 'templates/snapshot_row.sql' %}
