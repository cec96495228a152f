/*
says: Keeps persons who gave their consent and did not withdraw it later, as known at the as-of.
without_subject: drop
parameters:
  given: {type: source, default: consent_given, says: the table of consents}
  withdrawn: {type: source, optional: true, says: the table of withdrawals}
*/
WITH latest_consent AS (
  SELECT
    given.person_key,
    MAX(given.known_at) AS given_at
  FROM {{ given }} AS given
  GROUP BY given.person_key
){% if withdrawn %},
latest_withdrawal AS (
  SELECT
    withdrawn.person_key,
    MAX(withdrawn.known_at) AS withdrawn_at
  FROM {{ withdrawn }} AS withdrawn
  GROUP BY withdrawn.person_key
){% endif %}

SELECT
  event.example_id,
  event.event_id
FROM event
INNER JOIN latest_consent ON event.person_key = latest_consent.person_key
{%- if withdrawn %}
LEFT JOIN latest_withdrawal ON event.person_key = latest_withdrawal.person_key
WHERE latest_withdrawal.withdrawn_at IS NULL OR latest_withdrawal.withdrawn_at < latest_consent.given_at
{%- endif %}
