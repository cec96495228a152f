-- Return the rows of a snapshot. Vectors are read here only: once, of one encoder, on the days of the selected events.
WITH {% include 'templates/selected_vectors.sql' %},
{% if near_duplicates %}{% include 'templates/near_duplicates.sql' %},
{% endif -%}
selected AS (
  SELECT
    vector.event_id,
    CAST(NULL AS STRING) AS left_event_id,
    CAST(NULL AS STRING) AS right_event_id,
    @stream AS stream,
    vector.occurred_at,
    vector.label,
    vector.label_value,
    vector.split,
    vector.person_key,
    @fingerprint AS encoder_fingerprint,
    ARRAY_LENGTH(vector.embedding) AS dimension,
    vector.embedding,
    CAST([] AS ARRAY<FLOAT64>) AS right_embedding,
    vector.attributes
  FROM vector
  {%- if near_duplicates %}
  LEFT JOIN near_duplicate ON vector.event_id = near_duplicate.event_id
  WHERE near_duplicate.event_id IS NULL
  {%- endif %}
)
{% include 'templates/snapshot_row.sql' %}
