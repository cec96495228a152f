-- The latest event of each labelled person within the window before the label.
{%- set keys = 'person_key' %}
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
    WHEN judged.is_unlabelled THEN @unlabelled
    WHEN judged.is_ambiguous THEN @ambiguous
    WHEN judged.is_outside THEN @outside
    WHEN event.occurred_at > @mature_at THEN @immature
  END AS removed_by
FROM judged
INNER JOIN event ON judged.person_key = event.person_key
WHERE
  event.occurred_at <= judged.labelled_at
  AND event.occurred_at > TIMESTAMP_SUB(judged.labelled_at, INTERVAL @window_seconds SECOND)
QUALIFY ROW_NUMBER() OVER (PARTITION BY event.person_key ORDER BY event.occurred_at DESC, event.event_id ASC) = 1
