-- Record the measures of one audit.
INSERT INTO `{{ audit }}.leakage_audit_v1` (
  audit_id, stream, encoder_fingerprint, head, attack, metric, value, low, high, control, prior, shuffled,
  allowed_max, auxiliary_rows, attacked_rows, audited_at
)
SELECT
  @audit_id,
  @stream,
  @encoder_fingerprint,
  @head,
  measure.attack,
  measure.metric,
  measure.value,
  measure.low,
  measure.high,
  measure.control,
  measure.prior,
  measure.shuffled,
  measure.allowed_max,
  measure.auxiliary_rows,
  measure.attacked_rows,
  @audited_at
FROM UNNEST(@measures) AS measure
