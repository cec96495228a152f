-- Return every eligible event with its latest label, and the reason if the label excludes it. A label without an
-- eligible event is an example too, under a hash of its id, so that the ledger counts it.
{%- set keys, at_each_time = 'event_id', false %}
WITH {{ inputs }},
given_label AS (
{{ query }}
),
{% include 'templates/latest.sql' %}
SELECT
  IF(known_event.event_id IS NULL, CAST(FARM_FINGERPRINT(checked_label.event_id) AS STRING), NULL) AS example_id,
  'only' AS side,
  known_event.event_id,
  known_event.person_key,
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
    WHEN known_event.event_id IS NULL THEN @ineligible
    WHEN COALESCE(checked_label.is_unlabelled, TRUE) THEN @unlabelled
    WHEN checked_label.is_ambiguous THEN @ambiguous
    WHEN checked_label.is_outside THEN @outside
    WHEN known_event.occurred_at > @mature_at THEN @immature
  END AS removed_by
FROM known_event
FULL OUTER JOIN checked_label ON known_event.event_id = checked_label.event_id
WHERE known_event.event_id IS NOT NULL OR checked_label.event_id IS NOT NULL
