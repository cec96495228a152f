/*
says: Excludes persons whose account is closed at the as-of. A closed account that was opened again counts as open.
without_subject: keep
parameters:
  closed: {type: source, default: account_closed, says: the table of closures}
  reopened: {type: source, optional: true, says: the table of reopened accounts}
*/
WITH latest_closure AS (
  SELECT
    closed.person_key,
    MAX(closed.known_at) AS closed_at
  FROM {{ closed }} AS closed
  GROUP BY closed.person_key
){% if reopened %},
latest_reopening AS (
  SELECT
    reopened.person_key,
    MAX(reopened.known_at) AS reopened_at
  FROM {{ reopened }} AS reopened
  GROUP BY reopened.person_key
){% endif %}

SELECT
  event.example_id,
  event.event_id
FROM event
LEFT JOIN latest_closure ON event.person_key = latest_closure.person_key
{%- if reopened %}
LEFT JOIN latest_reopening ON event.person_key = latest_reopening.person_key
WHERE latest_closure.closed_at IS NULL OR latest_reopening.reopened_at > latest_closure.closed_at
{%- else %}
WHERE latest_closure.closed_at IS NULL
{%- endif %}
