-- Both ends of every labelled pair of eligible events, a row each.
{%- set keys = 'left_event_id, right_event_id' %}
WITH {{ inputs }},
label AS (
{{ query }}
),
{% include 'templates/latest.sql' %}
SELECT
  TO_JSON_STRING([judged.left_event_id, judged.right_event_id]) AS example_id,
  side,
  IF(side = 'left', one.event_id, other.event_id) AS event_id,
  IF(side = 'left', one.person_key, other.person_key) AS person_key,
  IF(side = 'left', one.occurred_at, other.occurred_at) AS occurred_at,
  IF(side = 'left', one.logged_at, other.logged_at) AS logged_at,
  IF(side = 'left', one.attributes, other.attributes) AS attributes,
  judged.label,
  judged.label_value,
  judged.labelled_at,
  CASE
    WHEN judged.is_unlabelled THEN @unlabelled
    WHEN judged.is_ambiguous THEN @ambiguous
    WHEN judged.is_outside THEN @outside
    WHEN GREATEST(one.occurred_at, other.occurred_at) > @mature_at THEN @immature
  END AS removed_by
FROM judged
INNER JOIN event AS one ON judged.left_event_id = one.event_id
INNER JOIN event AS other ON judged.right_event_id = other.event_id
CROSS JOIN UNNEST(['left', 'right']) AS side
