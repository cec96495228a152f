-- Return every eligible event with its latest label, and the reason if the label excludes it.
{%- set keys = 'event_id' %}
WITH {{ inputs }},
given_label AS (
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
  checked_label.label,
  checked_label.label_value,
  checked_label.labelled_at,
  CASE
    WHEN COALESCE(checked_label.is_unlabelled, TRUE) THEN @unlabelled
    WHEN checked_label.is_ambiguous THEN @ambiguous
    WHEN checked_label.is_outside THEN @outside
    WHEN event.occurred_at > @mature_at THEN @immature
  END AS removed_by
FROM event
LEFT JOIN checked_label ON event.event_id = checked_label.event_id
