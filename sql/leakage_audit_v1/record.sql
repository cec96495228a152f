-- Write the measures of one audit together, so that no reader sees a part of them.
INSERT INTO `{{ audit }}.leakage_audit_v1` (
  audit_id, stream, encoder_fingerprint, head, attack, metric, value, low, high, control, prior, shuffled,
  allowed_max, auxiliary_rows, attacked_rows, audited_at
)
SELECT
  @audit_id,
  @stream,
  @encoder_fingerprint,
  @head,
  found.attack,
  found.metric,
  found.value,
  found.low,
  found.high,
  found.control,
  found.prior,
  found.shuffled,
  found.allowed_max,
  found.auxiliary_rows,
  found.attacked_rows,
  @audited_at
FROM UNNEST(@measures) AS found
