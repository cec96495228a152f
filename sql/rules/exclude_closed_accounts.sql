/*
says: Excludes persons whose account is closed at the cut. A closed account that was opened again counts as open.
without_subject: keep
cuts: [as_of, event]
parameters:
  closed: {type: source, default: account_closed, says: the table of closures}
  reopened: {type: source, optional: true, says: the table of reopened accounts}
*/
WITH latest_closure AS (
  SELECT
    closed.{{ entity }},
    MAX(closed.known_at) AS closed_at
  FROM {{ closed }} AS closed
  GROUP BY closed.{{ entity }}
){% if reopened %},
latest_reopening AS (
  SELECT
    reopened.{{ entity }},
    MAX(reopened.known_at) AS reopened_at
  FROM {{ reopened }} AS reopened
  GROUP BY reopened.{{ entity }}
){% endif %}

SELECT
  event.example_id,
  event.event_id
FROM event
LEFT JOIN latest_closure ON event.{{ entity }} = latest_closure.{{ entity }}
{%- if reopened %}
LEFT JOIN latest_reopening ON event.{{ entity }} = latest_reopening.{{ entity }}
WHERE latest_closure.closed_at IS NULL OR latest_reopening.reopened_at > latest_closure.closed_at
{%- else %}
WHERE latest_closure.closed_at IS NULL
{%- endif %}
