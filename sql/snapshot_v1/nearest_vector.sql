-- Return the rows of a snapshot that are nearest to one of them, by BigQuery's VECTOR_SEARCH. Brute force is used
-- because an index would span all snapshots: neighbours of other snapshots would be filtered afterwards, so that
-- fewer rows than requested would remain. The table is clustered by snapshot, so only one is read. Zero vectors are
-- left out, since they have no cosine.
SELECT
  base.event_id,
  base.label,
  base.label_value,
  base.split,
  1 - distance AS cosine
FROM VECTOR_SEARCH(
  (
    SELECT event_id, label, label_value, split, embedding
    FROM `{{ snapshots }}.snapshot_v1`
    WHERE
      snapshot_id = @snapshot_id
      AND event_id != @event_id
      AND split IN UNNEST(@splits)
      AND EXISTS (SELECT 1 FROM UNNEST(embedding) AS component WHERE component != 0)
  ),
  'embedding',
  (
    SELECT row.embedding
    FROM `{{ snapshots }}.snapshot_v1` AS row
    INNER JOIN `{{ snapshots }}.snapshot_manifest_v1` AS manifest ON row.snapshot_id = manifest.snapshot_id
    WHERE
      row.snapshot_id = @snapshot_id
      AND row.event_id = @event_id
      AND EXISTS (SELECT 1 FROM UNNEST(row.embedding) AS component WHERE component != 0)
  ),
  query_column_to_search => 'embedding',
  top_k => @top,
  distance_type => 'COSINE',
  options => '{"use_brute_force": true}'
)
ORDER BY cosine DESC, event_id ASC
