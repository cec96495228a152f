-- Every eligible event with its latest label, and what leaves it out at once.
{%- set keys = 'event_id' %}
WITH {{ inputs }},
label AS (
{{ query }}
),
{% include 'templates/latest.sql' %}
SELECT
  event.event_id AS example_id,
  'only' AS side,
  event.event_id,
  event.person_key,
  event.occurred_at,
  event.logged_at,
  event.attributes,
  judged.label,
  judged.label_value,
  judged.labelled_at,
  CASE
    WHEN COALESCE(judged.is_unlabelled, TRUE) THEN @unlabelled
    WHEN judged.is_ambiguous THEN @ambiguous
    WHEN judged.is_outside THEN @outside
    WHEN event.occurred_at > @mature_at THEN @immature
  END AS removed_by
FROM event
LEFT JOIN judged ON event.event_id = judged.event_id
