-- Return the last measure of each metric of each attack, by encoder, stream and head.
SELECT
  measured.audit_id,
  measured.stream,
  measured.encoder_fingerprint,
  measured.head,
  measured.attack,
  measured.metric,
  measured.value,
  measured.low,
  measured.high,
  measured.control,
  measured.prior,
  measured.shuffled,
  measured.allowed_max,
  measured.auxiliary_rows,
  measured.attacked_rows,
  measured.audited_at
FROM `{{ audit }}.leakage_audit_v1` AS measured
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY
    measured.encoder_fingerprint, measured.stream, measured.head, measured.attack, measured.metric
  ORDER BY measured.audited_at DESC, measured.audit_id ASC
) = 1
ORDER BY measured.stream, measured.encoder_fingerprint, measured.head, measured.attack, measured.metric
