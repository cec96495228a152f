-- Return how the last window of each stream and encoder that was compared with its reference differs from it.
WITH last_window AS (
  SELECT
    drift.stream,
    drift.encoder_fingerprint,
    drift.metric,
    drift.start_at,
    drift.end_at,
    drift.value,
    drift.threshold,
    drift.measured_at
  FROM `{{ audit }}.drift_v1` AS drift
  QUALIFY
    DENSE_RANK() OVER (
      PARTITION BY drift.stream, drift.encoder_fingerprint
      ORDER BY drift.end_at DESC, drift.start_at DESC, drift.measured_at DESC
    ) = 1
)
SELECT
  last_window.stream,
  last_window.encoder_fingerprint,
  last_window.start_at,
  last_window.end_at,
  last_window.measured_at,
  COUNT(*) AS metrics,
  ARRAY_AGG(IF(last_window.value > last_window.threshold, last_window.metric, NULL) IGNORE NULLS) AS alarms
FROM last_window
GROUP BY
  last_window.stream, last_window.encoder_fingerprint, last_window.start_at, last_window.end_at, last_window.measured_at
ORDER BY last_window.stream, last_window.encoder_fingerprint
