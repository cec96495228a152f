-- Return all waivers, the one that expires last first.
SELECT
  granted.waiver_id,
  granted.stream,
  granted.encoder_fingerprint,
  granted.metric,
  granted.reason,
  granted.ticket,
  granted.granted_by,
  granted.granted_at,
  granted.expires_at
FROM `{{ audit }}.waiver_v1` AS granted
ORDER BY granted.expires_at DESC, granted.stream ASC, granted.metric ASC, granted.waiver_id ASC
