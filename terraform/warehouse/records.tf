# Which copies and heads exist, and what the privacy office measured and waived. Those who record it need
# bigquery.tables.updateData, and no role separates INSERT from UPDATE and DELETE. Whatever removes or changes a record
# raises an alert; the audit logs contain who did it, and BigQuery can restore it for the time travel window.
locals {
  records = "/tables/(export_v1|head_v1|leakage_audit_v1|stream_pointer_v1|waiver_v1)$"
}

resource "google_bigquery_table_iam_member" "scientist_registers" {
  for_each   = toset(["head_v1", "export_v1"])
  project    = var.project
  dataset_id = google_bigquery_dataset.of["snapshots"].dataset_id
  table_id   = google_bigquery_table.of[each.value].table_id
  role       = google_project_iam_custom_role.appender.name
  member     = "group:${var.scientists}"
}

resource "google_bigquery_table_iam_member" "auditor_audits" {
  for_each   = toset(local.gate)
  project    = var.project
  dataset_id = google_bigquery_table.of[each.value].dataset_id
  table_id   = google_bigquery_table.of[each.value].table_id
  role       = google_project_iam_custom_role.appender.name
  member     = "group:${var.auditors}"
}

resource "google_logging_metric" "changed_records" {
  project = var.project
  name    = "${var.prefix}/changed_records"
  filter = join(" ", [
    "logName:\"cloudaudit.googleapis.com\"",
    "((protoPayload.resourceName=~\"${local.records}\"",
    "(protoPayload.metadata.tableDataChange.deletedRowsCount=~\"[1-9]\" OR protoPayload.metadata.tableDataChange.truncated=true))",
    "OR (protoPayload.metadata.jobChange.job.jobConfig.queryConfig.destinationTable=~\"${local.records}\"",
    "protoPayload.metadata.jobChange.job.jobConfig.queryConfig.statementType=(\"UPDATE\" OR \"DELETE\" OR \"MERGE\" OR \"TRUNCATE_TABLE\")))",
  ])

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_monitoring_alert_policy" "changed_records" {
  project      = var.project
  display_name = "${var.prefix}: a record was changed"
  combiner     = "OR"
  severity     = "CRITICAL"

  conditions {
    display_name = "Rows of export_v1, head_v1, leakage_audit_v1, stream_pointer_v1 or waiver_v1 were changed or removed"
    condition_threshold {
      filter          = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.changed_records.name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }
  documentation {
    subject   = "A record was changed: docs/runbooks.md#changed-records"
    content   = "Follow docs/runbooks.md#changed-records. BigQuery can restore the rows for 48 hours."
    mime_type = "text/markdown"
  }
  notification_channels = var.channels
}
