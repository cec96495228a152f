-- Return the rejected deliveries of each stream, day and reason, for rejections in [start_at, end_at).
SELECT
  rejection.stream,
  rejection.reason,
  DATE(rejection.rejected_at) AS day,
  COUNT(*) AS rejections,
  COUNTIF(rejection.rejected_at >= @recent_at) AS recent_rejections,
  MAX(rejection.rejected_at) AS last_at
FROM `{{ events }}.rejection`(@start_at, @end_at) AS rejection
GROUP BY rejection.stream, rejection.reason, day
ORDER BY rejection.stream, rejection.reason, day
