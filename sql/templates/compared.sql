-- Return the rows that differ between two snapshots, with the step that removed a row from the snapshot that lacks it.
WITH before_row AS (
  SELECT
    COALESCE(event_id, TO_JSON_STRING([left_event_id, right_event_id])) AS example_id,
    COALESCE(label, CAST(label_value AS STRING)) AS label,
    split
  FROM `{{ snapshots }}.snapshot_v1`
  WHERE snapshot_id = @before_id
),
after_row AS (
  SELECT
    COALESCE(event_id, TO_JSON_STRING([left_event_id, right_event_id])) AS example_id,
    COALESCE(label, CAST(label_value AS STRING)) AS label,
    split
  FROM `{{ snapshots }}.snapshot_v1`
  WHERE snapshot_id = @after_id
),
moved AS (
  SELECT
    COALESCE(before_row.example_id, after_row.example_id) AS example_id,
    before_row.label AS label_before,
    after_row.label AS label_after,
    before_row.split AS split_before,
    after_row.split AS split_after
  FROM before_row
  FULL OUTER JOIN after_row ON before_row.example_id = after_row.example_id
),
before_mark AS (
  SELECT
    example_id,
    MAX(removed_by) AS removed_by
  FROM `{{ before }}`
  GROUP BY example_id
),
after_mark AS (
  SELECT
    example_id,
    MAX(removed_by) AS removed_by
  FROM `{{ after }}`
  GROUP BY example_id
)
SELECT
  moved.example_id,
  moved.label_before,
  moved.label_after,
  moved.split_before,
  moved.split_after,
  IF(moved.split_before IS NULL, before_mark.removed_by, after_mark.removed_by) AS removed_by,
  IF(moved.split_before IS NULL, before_mark.example_id, after_mark.example_id) IS NOT NULL AS is_known
FROM moved
LEFT JOIN before_mark ON moved.example_id = before_mark.example_id
LEFT JOIN after_mark ON moved.example_id = after_mark.example_id
WHERE
  moved.split_before IS NULL
  OR moved.split_after IS NULL
  OR moved.split_before != moved.split_after
  OR COALESCE(moved.label_before != moved.label_after, FALSE)
ORDER BY moved.example_id
