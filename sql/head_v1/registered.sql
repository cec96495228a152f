-- Return the registered heads, newest first: all, those with a name, or those that need an encoder.
SELECT
  head.head,
  head.version,
  head.kind,
  head.snapshot_id,
  head.fingerprint,
  head.metrics,
  head.artefact_digest,
  head.created_at
FROM `{{ snapshots }}.head_v1` AS head
WHERE (@head IS NULL OR head.head = @head) AND (@fingerprint IS NULL OR head.fingerprint = @fingerprint)
ORDER BY head.created_at DESC, head.head ASC, head.version DESC
