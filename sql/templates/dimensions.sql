-- Return the smallest and the largest dimension of a snapshot's vectors.
SELECT
  MIN(snapshot.dimension) AS least,
  MAX(snapshot.dimension) AS most
FROM (
  SELECT ARRAY_LENGTH(embedding) AS dimension
  FROM `{{ snapshots }}.snapshot_v1`
  WHERE snapshot_id = @snapshot_id
) AS snapshot
