-- Return who read and who changed tables since a time, a row for each day, account, table and kind of access, from the
-- audit records that the sink of terraform/audit copies. Without a table, those with embeddings. The parts of a record
-- are read from its JSON, because the sink creates a column only when it first copies a record that needs it.
WITH entry AS (
  SELECT
    record.timestamp AS accessed_at,
    TO_JSON_STRING(record.protopayload_auditlog.authenticationinfo) AS caller,
    record.protopayload_auditlog.metadatajson AS metadata,
    REGEXP_EXTRACT(record.protopayload_auditlog.resourcename, r'/datasets/([^/]+)/') AS dataset_name,
    REGEXP_EXTRACT(record.protopayload_auditlog.resourcename, r'/tables/([^/$@]+)') AS table_name
  FROM `{{ audit }}.cloudaudit_googleapis_com_data_access` AS record
  WHERE record.timestamp >= @since
),
access AS (
  SELECT
    entry.accessed_at,
    COALESCE(JSON_VALUE(entry.caller, '$.principalEmail'), JSON_VALUE(entry.caller, '$.principalSubject')) AS account,
    COALESCE(
      JSON_VALUE(entry.caller, '$.serviceAccountDelegationInfo[0].firstPartyPrincipal.principalEmail'),
      JSON_VALUE(entry.caller, '$.serviceAccountDelegationInfo[0].principalSubject')
    ) AS on_behalf_of,
    CONCAT(entry.dataset_name, '.', entry.table_name) AS table_id,
    IF(JSON_QUERY(entry.metadata, '$.tableDataRead') IS NOT NULL, 'read', 'change') AS action,
    REGEXP_EXTRACT(
      COALESCE(
        JSON_VALUE(entry.metadata, '$.tableDataRead.jobName'), JSON_VALUE(entry.metadata, '$.tableDataChange.jobName')
      ),
      r'([^/]+)$'
    ) AS job
  FROM entry
  WHERE
    (
      JSON_QUERY(entry.metadata, '$.tableDataRead') IS NOT NULL
      OR JSON_QUERY(entry.metadata, '$.tableDataChange') IS NOT NULL
    )
    AND IF(
      @table IS NULL,
      REGEXP_CONTAINS(entry.table_name, @embedding_tables),
      @table IN (entry.table_name, CONCAT(entry.dataset_name, '.', entry.table_name))
    )
)
SELECT
  DATE(access.accessed_at) AS day,
  access.account,
  access.on_behalf_of,
  access.table_id AS table_name,
  access.action,
  COUNT(*) AS accesses,
  MIN(access.accessed_at) AS first_at,
  MAX(access.accessed_at) AS last_at,
  ARRAY_AGG(access.job ORDER BY access.accessed_at DESC LIMIT 1)[OFFSET(0)] AS last_job
FROM access
GROUP BY day, account, on_behalf_of, table_name, action
ORDER BY day DESC, account ASC, on_behalf_of ASC, table_name ASC, action ASC
