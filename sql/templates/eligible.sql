-- Return the events of a stream, embedded by one encoder, that were known at the as-of: each once, without its vector.
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
  FARM_FINGERPRINT(delivered.encoder_fingerprint) AS encoder_hash,
  COALESCE(delivered.conflict_at <= @as_of, FALSE) AS is_conflicting
FROM delivered
LEFT JOIN person ON delivered.subject_key = person.subject_key
WHERE
  delivered.encoder = @encoder
  AND delivered.encoder_version = @encoder_version
  AND {{ is_known('delivered') }}
