-- Return the rejected deliveries of a stream by window and reason: those of one encoder, and those before encoding.
SELECT
  part.number,
  rejection.reason,
  COUNT(*) AS deliveries
FROM `{{ events }}.rejection`(@start_at, @end_at) AS rejection
INNER JOIN UNNEST(@windows) AS part
  ON rejection.rejected_at >= part.start_at AND rejection.rejected_at < part.end_at
WHERE
  rejection.stream = @stream
  AND (rejection.encoder_fingerprint IS NULL OR rejection.encoder_fingerprint = @fingerprint)
GROUP BY part.number, rejection.reason
ORDER BY part.number, rejection.reason
