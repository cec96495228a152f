-- Return each erasure with the numbers of its objects, the last first. One without the row of kind `certificate`, which
-- is written last, is not finished.
SELECT
  erased.certificate_id,
  MIN(erased.erased_at) AS started_at,
  MAX(IF(erased.object_kind = 'certificate', erased.erased_at, NULL)) AS finished_at,
  MAX(erased.copies_end_at) AS copies_end_at,
  COALESCE(SUM(IF(erased.action = 'deleted', erased.row_count, 0)), 0) AS deleted_rows,
  COUNTIF(erased.action = 'delete_by_hand') AS exports_to_delete,
  COUNTIF(erased.action = 'retrain') AS heads_to_retrain
FROM `{{ audit }}.erasure_v1` AS erased
GROUP BY erased.certificate_id
ORDER BY started_at DESC, erased.certificate_id ASC
