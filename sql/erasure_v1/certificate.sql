-- Return what an erasure did, object by object.
SELECT
  erasure.object_kind,
  erasure.object_id,
  erasure.action,
  erasure.row_count,
  erasure.copies_end_at,
  erasure.requested_by,
  erasure.erased_at
FROM `{{ audit }}.erasure_v1` AS erasure
WHERE erasure.certificate_id = @certificate_id
ORDER BY erasure.erased_at, erasure.object_kind, erasure.object_id
