-- Return the sinks of each stream's last canary.
SELECT
  searched.stream,
  searched.audit_id,
  searched.sink,
  searched.status,
  searched.reason,
  searched.bytes,
  searched.markers,
  searched.traces,
  searched.audited_at
FROM `{{ audit }}.canary_v1` AS searched
INNER JOIN (
  SELECT
    run.stream AS run_stream,
    ARRAY_AGG(run.audit_id ORDER BY run.audited_at DESC, run.audit_id ASC LIMIT 1)[OFFSET(0)] AS last_id
  FROM `{{ audit }}.canary_v1` AS run
  GROUP BY run.stream
) AS latest ON searched.stream = latest.run_stream AND searched.audit_id = latest.last_id
ORDER BY searched.stream, searched.sink
