/*
says: Excludes persons whose account is closed at the as-of. A closed account that was opened again counts as open.
without_subject: keep
parameters:
  closed: {type: source, default: account_closed, says: the table of closures}
  reopened: {type: source, optional: true, says: the table of reopened accounts}
*/
WITH closure AS (
  SELECT
    closed.person_key,
    MAX(closed.known_at) AS closed_at
  FROM {{ closed }} AS closed
  GROUP BY closed.person_key
){% if reopened %},
reopening AS (
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
LEFT JOIN closure ON event.person_key = closure.person_key
{%- if reopened %}
LEFT JOIN reopening ON event.person_key = reopening.person_key
WHERE closure.closed_at IS NULL OR reopening.reopened_at > closure.closed_at
{%- else %}
WHERE closure.closed_at IS NULL
{%- endif %}
