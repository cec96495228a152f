-- Return the registered heads, newest first: all, those with a name, or those that need an encoder.
SELECT
  registered.head,
  registered.version,
  registered.kind,
  registered.snapshot_id,
  registered.fingerprint,
  registered.metrics,
  registered.artefact_digest,
  registered.created_at
FROM `{{ snapshots }}.head_v1` AS registered
WHERE (@head IS NULL OR registered.head = @head) AND (@fingerprint IS NULL OR registered.fingerprint = @fingerprint)
ORDER BY registered.created_at DESC, registered.head ASC, registered.version DESC
