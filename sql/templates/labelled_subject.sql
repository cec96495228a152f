-- Return the latest event of each labelled person within the window before the label.
{%- set keys = 'person_key' %}
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
    WHEN checked_label.is_unlabelled THEN @unlabelled
    WHEN checked_label.is_ambiguous THEN @ambiguous
    WHEN checked_label.is_outside THEN @outside
    WHEN event.occurred_at > @mature_at THEN @immature
  END AS removed_by
FROM checked_label
INNER JOIN event ON checked_label.person_key = event.person_key
WHERE
  event.occurred_at <= checked_label.labelled_at
  AND event.occurred_at > TIMESTAMP_SUB(checked_label.labelled_at, INTERVAL @window_seconds SECOND)
QUALIFY ROW_NUMBER() OVER (PARTITION BY event.person_key ORDER BY event.occurred_at DESC, event.event_id ASC) = 1
