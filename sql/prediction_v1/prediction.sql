-- Return each prediction once: the first of a version of a head for one event and caller, for predictions made in
-- [start_at, end_at). A batch job that is run again predicts its events again, and a caller may send an event again.
-- Events and persons that were erased are left out.
CREATE OR REPLACE TABLE FUNCTION `{{ events }}.prediction`(start_at TIMESTAMP, end_at TIMESTAMP) AS (
  WITH {% filter indent(2) %}{% include 'tombstone_v1/erased.sql' %}{% endfilter %},
  ranked AS (
    SELECT
      stored.stream,
      stored.event_id,
      stored.subject_key,
      stored.subject_key_id,
      stored.caller_key,
      stored.head,
      stored.version,
      stored.probabilities,
      stored.abstention,
      stored.predicted_at,
      ROW_NUMBER() OVER (
        PARTITION BY stored.stream, stored.event_id, stored.caller_key, stored.head, stored.version
        ORDER BY
          stored.predicted_at,
          FARM_FINGERPRINT(TO_JSON_STRING(STRUCT(stored.subject_key, stored.subject_key_id, stored.abstention)))
      ) AS prediction_number
    FROM `{{ events }}.prediction_v1` AS stored
    LEFT JOIN erased ON stored.subject_key = erased.subject_key
    LEFT JOIN erased_event ON stored.stream = erased_event.stream AND stored.event_id = erased_event.event_id
    WHERE
      stored.predicted_at >= start_at
      AND stored.predicted_at < end_at
      AND erased_event.event_id IS NULL
      AND COALESCE(stored.predicted_at > erased.erased_before, TRUE)
  )
  SELECT
    stream,
    event_id,
    subject_key,
    subject_key_id,
    caller_key,
    head,
    version,
    probabilities,
    abstention,
    predicted_at
  FROM ranked
  WHERE prediction_number = 1
)
