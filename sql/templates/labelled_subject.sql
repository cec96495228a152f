-- Return each label of each person with the person's latest event within the window before it, and the reason if the
-- window has none or if the label is excluded. Of the labels of one event the first is kept, so that an event is one
-- example; every other label is an example too, under an id of its own.
{%- set keys, at_each_time = 'person_key', true %}
WITH {{ inputs }},
given_label AS (
{{ query }}
),
{% include 'templates/latest.sql' %},
withdrawable AS (
  SELECT
    checked_label.person_key,
    checked_label.labelled_at,
    checked_label.is_outside,
    checked_label.is_ambiguous,
    checked_label.is_unlabelled,
    checked_label.label,
    checked_label.label_value,
    LEAD(checked_label.is_unlabelled) OVER times AS is_withdrawn,
    LAG(checked_label.labelled_at) OVER times IS NOT NULL AS is_later
  FROM checked_label
  WINDOW times AS (PARTITION BY checked_label.person_key ORDER BY checked_label.labelled_at)
),
placed AS (
  SELECT
    known_event.event_id,
    withdrawable.person_key,
    known_event.occurred_at,
    known_event.logged_at,
    known_event.attributes,
    known_event.origin,
    known_event.row_hash,
    known_event.is_tied,
    known_event.encoder_hash,
    known_event.is_conflicting,
    withdrawable.label,
    withdrawable.label_value,
    withdrawable.labelled_at,
    CASE
      WHEN known_event.event_id IS NULL THEN @out_of_window
      WHEN withdrawable.is_unlabelled OR withdrawable.is_withdrawn THEN @unlabelled
      WHEN withdrawable.is_ambiguous THEN @ambiguous
      WHEN withdrawable.is_outside THEN @outside
      WHEN known_event.occurred_at > @mature_at THEN @immature
    END AS excluded_by
  FROM withdrawable
  LEFT JOIN known_event
    ON
      withdrawable.person_key = known_event.person_key
      AND withdrawable.labelled_at >= known_event.occurred_at
      AND TIMESTAMP_SUB(withdrawable.labelled_at, INTERVAL @window_seconds SECOND) < known_event.occurred_at
  -- A withdrawal is counted with the label that it withdraws.
  WHERE NOT (withdrawable.is_unlabelled AND withdrawable.is_later)
  QUALIFY
    ROW_NUMBER() OVER (
      PARTITION BY withdrawable.person_key, withdrawable.labelled_at
      ORDER BY known_event.occurred_at DESC, known_event.event_id ASC
    )
    = 1
),
ranked_of_event AS (
  SELECT
    event_id,
    person_key,
    occurred_at,
    logged_at,
    attributes,
    origin,
    row_hash,
    is_tied,
    encoder_hash,
    is_conflicting,
    label,
    label_value,
    labelled_at,
    excluded_by,
    event_id IS NOT NULL
    AND ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY excluded_by IS NOT NULL, labelled_at) = 1 AS is_first
  FROM placed
)
SELECT
  IF(is_first, NULL, TO_JSON_STRING([person_key, CAST(UNIX_MICROS(labelled_at) AS STRING)])) AS example_id,
  'only' AS side,
  event_id,
  person_key,
  occurred_at,
  logged_at,
  attributes,
  origin,
  row_hash,
  is_tied,
  encoder_hash,
  is_conflicting,
  label,
  label_value,
  labelled_at,
  IF(is_first, excluded_by, COALESCE(excluded_by, @later_of_event)) AS removed_by
FROM ranked_of_event
