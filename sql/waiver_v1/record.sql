-- Record a waiver. On Google Cloud BigQuery names the account itself; the local one does not know who asks.
INSERT INTO `{{ audit }}.waiver_v1` (
  waiver_id, stream, encoder_fingerprint, metric, reason, ticket, granted_by, granted_at, expires_at
)
VALUES (
  @waiver_id,
  @stream,
  @encoder_fingerprint,
  @metric,
  @reason,
  @ticket,
  COALESCE(@local_account, SESSION_USER()),
  @granted_at,
  @expires_at
)
