-- Commit a snapshot: readers see its rows from now on. A second commit of the same snapshot inserts nothing.
INSERT INTO `{{ snapshots }}.snapshot_manifest_v1` (
  dataset, snapshot_id, spec, sql_digest, as_of, fingerprint, sources, ledger, counts, row_digest, bytes_processed,
  created_at
)
SELECT
  @dataset,
  @snapshot_id,
  PARSE_JSON(@spec),
  @sql_digest,
  @as_of,
  @fingerprint,
  ARRAY(SELECT AS STRUCT source.table_name, source.row_count FROM UNNEST(@sources) AS source),
  ARRAY(
    SELECT AS STRUCT line.rule, PARSE_JSON(line.parameters) AS parameters, line.rows_in, line.removed
    FROM UNNEST(@ledger) AS line
  ),
  ARRAY(SELECT AS STRUCT counted.split, counted.label, counted.row_count FROM UNNEST(@counts) AS counted),
  @row_digest,
  @bytes_processed,
  @created_at
FROM (SELECT 1 AS only_once) AS once
WHERE
  NOT EXISTS (
    SELECT 1
    FROM `{{ snapshots }}.snapshot_manifest_v1` AS manifest
    WHERE manifest.snapshot_id = @snapshot_id
  )
