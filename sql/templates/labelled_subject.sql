-- Return each labelled person with the latest event within the window before the label, and the reason if the window
-- has none or if the label excludes the person. A person without an event is an example too, under an id of its own.
{%- set keys = 'person_key' %}
WITH {{ inputs }},
given_label AS (
{{ query }}
),
{% include 'templates/latest.sql' %}
SELECT
  COALESCE(event.event_id, TO_JSON_STRING([checked_label.person_key])) AS example_id,
  'only' AS side,
  event.event_id,
  checked_label.person_key,
  event.occurred_at,
  event.logged_at,
  event.attributes,
  checked_label.label,
  checked_label.label_value,
  checked_label.labelled_at,
  CASE
    WHEN event.event_id IS NULL THEN @out_of_window
    WHEN checked_label.is_unlabelled THEN @unlabelled
    WHEN checked_label.is_ambiguous THEN @ambiguous
    WHEN checked_label.is_outside THEN @outside
    WHEN event.occurred_at > @mature_at THEN @immature
  END AS removed_by
FROM checked_label
LEFT JOIN event
  ON
    checked_label.person_key = event.person_key
    AND checked_label.labelled_at >= event.occurred_at
    AND TIMESTAMP_SUB(checked_label.labelled_at, INTERVAL @window_seconds SECOND) < event.occurred_at
QUALIFY
  ROW_NUMBER() OVER (
    PARTITION BY checked_label.person_key
    ORDER BY event.occurred_at DESC, event.event_id ASC
  )
  = 1
