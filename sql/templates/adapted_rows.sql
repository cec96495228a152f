-- Count the rows of a snapshot with adapted vectors by split.
SELECT
  snapshot.split,
  COUNT(*) AS adapted
FROM `{{ snapshot }}` AS snapshot
WHERE snapshot.encoder_fingerprint = @adapted_fingerprint
GROUP BY snapshot.split
ORDER BY snapshot.split
