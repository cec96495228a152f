-- Record an inspection. On Google Cloud BigQuery names the account itself; the local one does not know who asks.
INSERT INTO `{{ audit }}.inspection_v1` (
  inspection_id, stream, event_id, reason, ticket, inspected_by, inspected_at
)
VALUES (
  @inspection_id,
  @stream,
  @event_id,
  @reason,
  @ticket,
  COALESCE(@local_account, SESSION_USER()),
  @inspected_at
)
