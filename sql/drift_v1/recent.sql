-- Return the metrics of all windows that ended in (start_at, end_at], each as it was measured last.
SELECT
  drift.stream,
  drift.encoder_fingerprint,
  drift.metric,
  drift.start_at,
  drift.end_at,
  drift.row_count,
  drift.value,
  drift.threshold,
  drift.measured_at
FROM `{{ audit }}.drift_v1` AS drift
WHERE drift.end_at > @start_at AND drift.end_at <= @end_at
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY drift.stream, drift.encoder_fingerprint, drift.metric, drift.start_at, drift.end_at
  ORDER BY drift.measured_at DESC
) = 1
ORDER BY drift.stream ASC, drift.end_at DESC, drift.metric ASC
