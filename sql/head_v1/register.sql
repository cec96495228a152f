-- Register a version of a head, unless another process has registered one with this number.
INSERT INTO `{{ snapshots }}.head_v1` (
  head, version, kind, snapshot_id, fingerprint, metrics, artefact_digest, created_at
)
SELECT
  @head,
  @version,
  @kind,
  @snapshot_id,
  @fingerprint,
  ARRAY(SELECT AS STRUCT metric.name, metric.value, metric.low, metric.high FROM UNNEST(@metrics) AS metric),
  @artefact_digest,
  @created_at
FROM (SELECT 1 AS only_once) AS once
WHERE
  NOT EXISTS (
    SELECT 1
    FROM `{{ snapshots }}.head_v1` AS registered
    WHERE registered.head = @head AND registered.version = @version
  )
