-- Return each rejected delivery once, for rejections in [start_at, end_at). A job that was killed and run again, or a
-- message that was delivered again, records its rejections again, perhaps under another pseudonym key. Reasons that
-- were renamed are returned under their new names. Events and persons that were erased are left out.
CREATE OR REPLACE TABLE FUNCTION `{{ events }}.rejection`(start_at TIMESTAMP, end_at TIMESTAMP) AS (
  WITH {% filter indent(2) %}{% include 'tombstone_v1/erased.sql' %}{% endfilter %},
  recorded AS (
    SELECT
      stored.stream,
      stored.event_id,
      stored.subject_key,
      stored.subject_key_id,
      stored.message_id,
      stored.stage,
      CASE stored.reason
        WHEN 'missing_payload' THEN 'empty_payload'
        WHEN 'payload_missing' THEN 'object_not_found'
        ELSE stored.reason
      END AS reason,
      stored.size_bucket,
      stored.encoder_fingerprint,
      stored.rejected_at
    FROM `{{ events }}.rejection_v1` AS stored
    LEFT JOIN erased ON stored.subject_key = erased.subject_key
    LEFT JOIN erased_event ON stored.stream = erased_event.stream AND stored.event_id = erased_event.event_id
    WHERE
      stored.rejected_at >= start_at
      AND stored.rejected_at < end_at
      AND erased_event.event_id IS NULL
      AND COALESCE(stored.rejected_at > erased.erased_before, TRUE)
  ),
  delivery AS (
    SELECT
      recorded.stream,
      recorded.event_id,
      recorded.subject_key,
      recorded.subject_key_id,
      recorded.message_id,
      recorded.stage,
      recorded.reason,
      recorded.size_bucket,
      recorded.encoder_fingerprint,
      recorded.rejected_at,
      ROW_NUMBER() OVER (
        PARTITION BY
          recorded.stream, recorded.event_id, recorded.message_id, recorded.stage, recorded.reason,
          recorded.size_bucket, recorded.encoder_fingerprint
        ORDER BY
          recorded.rejected_at,
          FARM_FINGERPRINT(TO_JSON_STRING(STRUCT(recorded.subject_key, recorded.subject_key_id)))
      ) AS delivery_number
    FROM recorded
  )
  SELECT
    stream,
    event_id,
    subject_key,
    subject_key_id,
    message_id,
    stage,
    reason,
    size_bucket,
    encoder_fingerprint,
    rejected_at
  FROM delivery
  WHERE delivery_number = 1
)
