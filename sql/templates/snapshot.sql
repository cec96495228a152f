-- Return the rows of a snapshot. Vectors are read here only: once, of one encoder, on the days of the selected events.
WITH {% include 'templates/selected_vectors.sql' %},
{% if near_duplicates %}{% include 'templates/near_duplicates.sql' %},
{% endif -%}
{% if features %}{% include 'templates/features.sql' %},
{% endif -%}
selected AS (
  SELECT
    vector.event_id,
    CAST(NULL AS STRING) AS left_event_id,
    CAST(NULL AS STRING) AS right_event_id,
    @stream AS stream,
    vector.occurred_at,
    vector.logged_at,
    vector.label,
    vector.label_value,
    vector.split,
    vector.person_key,
    {%- if adapted %}
    vector.encoder_fingerprint,
    {%- else %}
    @fingerprint AS encoder_fingerprint,
    {%- endif %}
    ARRAY_LENGTH(vector.embedding) AS dimension,
    vector.embedding,
    CAST([] AS ARRAY<FLOAT64>) AS right_embedding,
    vector.attributes,
    {% if features %}feature.features{% else %}CAST([] AS ARRAY<STRUCT<name STRING, value FLOAT64, category STRING>>)
    {%- endif %} AS features,
    {% if near_duplicates %}near_duplicate_search.is_capped{% else %}CAST(NULL AS BOOL){% endif %} AS is_capped
  FROM vector
  {%- if features %}
  LEFT JOIN feature ON vector.event_id = feature.event_id
  {%- endif %}
  {%- if near_duplicates %}
  LEFT JOIN near_duplicate_search ON vector.event_id = near_duplicate_search.event_id
  WHERE NOT COALESCE(near_duplicate_search.is_near_duplicate, FALSE)
  {%- endif %}
)
{% include 'templates/snapshot_row.sql' %}
