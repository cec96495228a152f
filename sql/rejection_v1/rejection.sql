-- Each rejected delivery once, for rejections in [start_at, end_at): a job that was killed and run again, or a
-- message that was delivered again, tells its rejections again, perhaps under another pseudonym key.
CREATE OR REPLACE TABLE FUNCTION `{{ events }}.rejection`(start_at TIMESTAMP, end_at TIMESTAMP) AS (
  WITH delivery AS (
    SELECT
      told.stream,
      told.event_id,
      told.subject_key,
      told.subject_key_id,
      told.message_id,
      told.stage,
      told.reason,
      told.size_bucket,
      told.encoder_fingerprint,
      told.rejected_at,
      ROW_NUMBER() OVER (
        PARTITION BY
          told.stream, told.event_id, told.message_id, told.stage, told.reason, told.size_bucket,
          told.encoder_fingerprint
        ORDER BY told.rejected_at, FARM_FINGERPRINT(TO_JSON_STRING(told))
      ) AS delivery_number
    FROM `{{ events }}.rejection_v1` AS told
    WHERE told.rejected_at >= start_at AND told.rejected_at < end_at
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
