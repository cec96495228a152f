-- Return both events of every labelled pair, in a row each, and the reason if events or label exclude the pair.
{%- set keys, at_each_time = 'left_event_id, right_event_id', false %}
WITH {{ inputs }},
given_label AS (
{{ query }}
),
{% include 'templates/latest.sql' %}
SELECT
  TO_JSON_STRING([checked_label.left_event_id, checked_label.right_event_id]) AS example_id,
  side,
  IF(side = 'left', checked_label.left_event_id, checked_label.right_event_id) AS event_id,
  IF(side = 'left', one.person_key, other.person_key) AS person_key,
  IF(side = 'left', one.occurred_at, other.occurred_at) AS occurred_at,
  IF(side = 'left', one.logged_at, other.logged_at) AS logged_at,
  IF(side = 'left', one.attributes, other.attributes) AS attributes,
  IF(side = 'left', one.origin, other.origin) AS origin,
  IF(side = 'left', one.row_hash, other.row_hash) AS row_hash,
  IF(side = 'left', one.is_tied, other.is_tied) AS is_tied,
  IF(side = 'left', one.encoder_hash, other.encoder_hash) AS encoder_hash,
  IF(side = 'left', one.is_conflicting, other.is_conflicting) AS is_conflicting,
  checked_label.label,
  checked_label.label_value,
  checked_label.labelled_at,
  CASE
    WHEN checked_label.left_event_id = checked_label.right_event_id THEN @same_event
    WHEN one.event_id IS NULL OR other.event_id IS NULL THEN @ineligible
    WHEN checked_label.is_unlabelled THEN @unlabelled
    WHEN checked_label.is_ambiguous THEN @ambiguous
    WHEN checked_label.is_outside THEN @outside
    WHEN GREATEST(one.occurred_at, other.occurred_at) > @mature_at THEN @immature
  END AS removed_by
FROM checked_label
LEFT JOIN known_event AS one ON checked_label.left_event_id = one.event_id
LEFT JOIN known_event AS other ON checked_label.right_event_id = other.event_id
CROSS JOIN UNNEST(['left', 'right']) AS side
