-- Write the metrics of windows together, so that no reader sees a part of them.
INSERT INTO `{{ audit }}.drift_v1` (
  stream, encoder_fingerprint, metric, reference_start_at, reference_end_at, start_at, end_at, row_count, value,
  threshold, measured_at
)
SELECT
  @stream,
  @fingerprint,
  found.metric,
  @reference_start_at,
  @reference_end_at,
  found.start_at,
  found.end_at,
  found.row_count,
  found.value,
  found.threshold,
  @measured_at
FROM UNNEST(@findings) AS found
