-- Each rejected delivery once, for rejections in [start_at, end_at): a job that was killed and run again, or a
-- message that was delivered again, tells its rejections again.
CREATE OR REPLACE TABLE FUNCTION `{{ events }}.rejection`(start_at TIMESTAMP, end_at TIMESTAMP) AS (
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
    MIN(rejected_at) AS rejected_at
  FROM `{{ events }}.rejection_v1`
  WHERE rejected_at >= start_at AND rejected_at < end_at
  GROUP BY
    stream, event_id, subject_key, subject_key_id, message_id, stage, reason, size_bucket, encoder_fingerprint
)
