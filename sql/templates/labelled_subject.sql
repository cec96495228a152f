-- Return each labelled person with the latest event within the window before the label, and the reason if the window
-- has none or if the label excludes the person. A person without an event is an example too, under an id of its own.
{%- set keys = 'person_key' %}
WITH {{ inputs }},
given_label AS (
{{ query }}
),
{% include 'templates/latest.sql' %}
SELECT
  IF(known_event.event_id IS NULL, TO_JSON_STRING([checked_label.person_key]), NULL) AS example_id,
  'only' AS side,
  known_event.event_id,
  checked_label.person_key,
  known_event.occurred_at,
  known_event.logged_at,
  known_event.attributes,
  known_event.origin,
  known_event.row_hash,
  known_event.is_tied,
  known_event.encoder_hash,
  known_event.is_conflicting,
  checked_label.label,
  checked_label.label_value,
  checked_label.labelled_at,
  CASE
    WHEN known_event.event_id IS NULL THEN @out_of_window
    WHEN checked_label.is_unlabelled THEN @unlabelled
    WHEN checked_label.is_ambiguous THEN @ambiguous
    WHEN checked_label.is_outside THEN @outside
    WHEN known_event.occurred_at > @mature_at THEN @immature
  END AS removed_by
FROM checked_label
LEFT JOIN known_event
  ON
    checked_label.person_key = known_event.person_key
    AND checked_label.labelled_at >= known_event.occurred_at
    AND TIMESTAMP_SUB(checked_label.labelled_at, INTERVAL @window_seconds SECOND) < known_event.occurred_at
QUALIFY
  ROW_NUMBER() OVER (
    PARTITION BY checked_label.person_key
    ORDER BY known_event.occurred_at DESC, known_event.event_id ASC
  )
  = 1
