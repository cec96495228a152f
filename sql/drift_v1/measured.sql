-- Return the metrics of the windows of an encoder, each as it was measured last.
SELECT
  drift.stream,
  drift.encoder_fingerprint,
  drift.metric,
  drift.reference_start_at,
  drift.reference_end_at,
  drift.start_at,
  drift.end_at,
  drift.row_count,
  drift.value,
  drift.threshold,
  drift.measured_at
FROM `{{ audit }}.drift_v1` AS drift
WHERE drift.encoder_fingerprint = @fingerprint
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY drift.stream, drift.metric, drift.start_at, drift.end_at ORDER BY drift.measured_at DESC
) = 1
ORDER BY drift.stream, drift.start_at, drift.end_at, drift.metric
