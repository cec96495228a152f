-- Return the rows that differ between two snapshots, with the step that removed a row from the snapshot that lacks it.
WITH before_row AS (
  SELECT
    COALESCE(event_id, TO_JSON_STRING([left_event_id, right_event_id])) AS example_id,
    COALESCE(label, CAST(label_value AS STRING)) AS label,
    split
  FROM `{{ before_snapshot }}`
),
after_row AS (
  SELECT
    COALESCE(event_id, TO_JSON_STRING([left_event_id, right_event_id])) AS example_id,
    COALESCE(label, CAST(label_value AS STRING)) AS label,
    split
  FROM `{{ after_snapshot }}`
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
    marked.example_id,
    MAX(marked.removed_by) AS removed_by
  FROM (
    SELECT
      COALESCE(example.example_id, example.event_id) AS example_id,
      COALESCE(example.removed_by, mark.removed_by) AS removed_by
    FROM `{{ before.example_table }}` AS example
    LEFT JOIN `{{ before.mark_table }}` AS mark ON COALESCE(example.example_id, example.event_id) = mark.example_id
  ) AS marked
  GROUP BY marked.example_id
),
after_mark AS (
  SELECT
    marked.example_id,
    MAX(marked.removed_by) AS removed_by
  FROM (
    SELECT
      COALESCE(example.example_id, example.event_id) AS example_id,
      COALESCE(example.removed_by, mark.removed_by) AS removed_by
    FROM `{{ after.example_table }}` AS example
    LEFT JOIN `{{ after.mark_table }}` AS mark ON COALESCE(example.example_id, example.event_id) = mark.example_id
  ) AS marked
  GROUP BY marked.example_id
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
