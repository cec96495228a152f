-- Record what an erasure does to objects, unless it is recorded. On Google Cloud BigQuery names the account itself; the
-- local one does not know who asks.
INSERT INTO `{{ audit }}.erasure_v1` (
  certificate_id, object_kind, object_id, action, row_count, copies_end_at, requested_by, erased_at
)
SELECT
  @certificate_id,
  described.object_kind,
  described.object_id,
  described.action,
  described.row_count,
  described.copies_end_at,
  COALESCE(@local_account, SESSION_USER()) AS requested_by,
  @erased_at
FROM UNNEST(@actions) AS described
LEFT JOIN `{{ audit }}.erasure_v1` AS recorded
  ON
    described.object_kind = recorded.object_kind
    AND described.object_id = recorded.object_id
    AND described.action = recorded.action
    AND recorded.certificate_id = @certificate_id
WHERE recorded.certificate_id IS NULL
