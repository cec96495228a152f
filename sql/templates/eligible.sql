-- Return the events of a stream, embedded by one encoder, that were known at the as-of: each once, without its vector.
{%- if adapted %}
-- An event that this encoder did not embed has its adapted delivery. The hash is 0 for the two encoders whose vectors
-- this dataset uses together: the one that the adapter maps to, and the one with the adapter.
{%- endif %}
{%- from 'embedding_event_v1/known.sql' import is_known %}
{%- set start_at, end_at, stream, vectors = '@start_at', '@end_at', '@stream', false %}
WITH delivered AS (
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
),
person AS (
  SELECT
    subject.subject_key,
    MIN(subject.person_key) AS person_key
  FROM `{{ subjects }}.subject_map_v1` AS subject
  GROUP BY subject.subject_key
)
SELECT
  delivered.event_id,
  COALESCE(person.person_key, delivered.subject_key) AS person_key,
  delivered.occurred_at,
  delivered.logged_at,
  delivered.attributes,
  delivered.origin,
  delivered.row_hash,
  delivered.is_tied,
  {%- if adapted %}
  IF(
    delivered.encoder_fingerprint IN (@target_fingerprint, @adapted_fingerprint),
    0,
    FARM_FINGERPRINT(delivered.encoder_fingerprint)
  ) AS encoder_hash,
  {%- else %}
  FARM_FINGERPRINT(delivered.encoder_fingerprint) AS encoder_hash,
  {%- endif %}
  COALESCE(delivered.conflict_at <= @as_of, FALSE) AS is_conflicting
FROM delivered
LEFT JOIN person ON delivered.subject_key = person.subject_key
WHERE
  {%- if adapted %}
  (
    delivered.encoder_fingerprint = @adapted_fingerprint
    OR (delivered.encoder = @encoder AND delivered.encoder_version = @encoder_version)
  )
  {%- else %}
  delivered.encoder = @encoder
  AND delivered.encoder_version = @encoder_version
  {%- endif %}
  AND {{ is_known('delivered') }}
{%- if adapted %}
QUALIFY
  RANK() OVER (PARTITION BY delivered.event_id ORDER BY delivered.encoder_fingerprint = @adapted_fingerprint) = 1
{%- endif %}
