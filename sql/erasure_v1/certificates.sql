-- Return each erasure with the numbers of its objects, the last first. One without the row of kind `certificate`, which
-- is written last, is not finished, and one that was interrupted first has tombstones only. Two runs at once may have
-- recorded an action twice.
WITH done AS (
  SELECT
    erasure.certificate_id,
    erasure.object_kind,
    erasure.action,
    MAX(erasure.row_count) AS row_count,
    MIN(erasure.erased_at) AS erased_at,
    MAX(erasure.copies_end_at) AS copies_end_at
  FROM `{{ audit }}.erasure_v1` AS erasure
  GROUP BY erasure.certificate_id, erasure.object_kind, erasure.object_id, erasure.action
),
begun AS (
  SELECT
    tombstone.certificate_id,
    tombstone.erased_before AS erased_at
  FROM `{{ audit }}.tombstone_v1` AS tombstone
  UNION ALL
  SELECT
    tombstone.certificate_id,
    tombstone.erased_at
  FROM `{{ audit }}.event_tombstone_v1` AS tombstone
),
step AS (
  SELECT
    done.certificate_id,
    done.object_kind,
    done.action,
    done.row_count,
    done.erased_at,
    done.copies_end_at
  FROM done
  UNION ALL
  SELECT
    begun.certificate_id,
    CAST(NULL AS STRING) AS object_kind,
    CAST(NULL AS STRING) AS action,
    0 AS row_count,
    begun.erased_at,
    CAST(NULL AS TIMESTAMP) AS copies_end_at
  FROM begun
)
SELECT
  step.certificate_id,
  MIN(step.erased_at) AS started_at,
  MAX(IF(step.object_kind = 'certificate', step.erased_at, NULL)) AS finished_at,
  MAX(step.copies_end_at) AS copies_end_at,
  SUM(IF(step.action IN ('deleted', 'dropped'), step.row_count, 0)) AS deleted_rows,
  COUNTIF(step.action = 'delete_by_hand' AND step.row_count > 0) AS exports_to_delete,
  COUNTIF(step.action = 'retrain' AND step.row_count > 0) AS heads_to_retrain
FROM step
GROUP BY step.certificate_id
ORDER BY started_at DESC, step.certificate_id ASC
