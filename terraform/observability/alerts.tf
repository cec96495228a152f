# Alerts. Each one names its section of docs/runbooks.md. No condition depends on content.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

resource "google_monitoring_alert_policy" "rejections" {
  for_each     = var.rejection_alerts
  project      = var.projects.raw
  display_name = "${var.prefix}: rejections (${each.key})"
  combiner     = "OR"
  severity     = each.value.severity

  conditions {
    display_name = "Rejections above the threshold: ${join(", ", each.value.reasons)}"
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "0s"
      evaluation_interval = "60s"
    }
  }
  documentation {
    subject   = "Rejections increased: docs/runbooks.md#rejections"
    content   = "The metric is named rejected.STAGE.REASON. Follow docs/runbooks.md#rejections; rejection_v1 contains the rates by encoder and reason."
    mime_type = "text/markdown"
  }
  notification_channels = var.channels
}

locals {
  responses = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = starts_with(\"${var.prefix}-\") AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels"
  # What is counted: log lines (metrics.tf), or responses of the services.
  counted = merge({ for name, metric in google_logging_metric.log_lines : name =>
    "metric.type = \"logging.googleapis.com/user/${metric.name}\""
    }, {
    refused_callers  = "${local.responses}.response_code = one_of(\"401\", \"403\")"
    services_failing = "${local.responses}.response_code_class = \"5xx\""
  })
  # The number in five minutes above which an alert fires, and the section of the runbooks.
  count_alerts = {
    bigquery_away    = { above = 0, severity = "CRITICAL", anchor = "bigquery-away", title = "The warehouse accepts no rows" }
    perimeter        = { above = 0, severity = "CRITICAL", anchor = "perimeter-violation", title = "The service perimeter blocked a call" }
    human_on_raw     = { above = 0, severity = "CRITICAL", anchor = "perimeter-violation", title = "A person called a data API of the production project, or as one of its accounts" }
    key_destroyed    = { above = 0, severity = "CRITICAL", anchor = "rotate-keys", title = "A version of a key or secret is scheduled for destruction" }
    refused_callers  = { above = 20, severity = "WARNING", anchor = "revoke-a-token", title = "A service rejects callers" }
    services_failing = { above = 5, severity = "CRITICAL", anchor = "roll-back", title = "A service responds with errors" }
  }
}

resource "google_monitoring_alert_policy" "counts" {
  for_each     = local.count_alerts
  project      = var.projects.raw
  display_name = "${var.prefix}: ${each.value.title}"
  combiner     = "OR"
  severity     = each.value.severity

  conditions {
    display_name = each.value.title
    condition_threshold {
      filter          = local.counted[each.key]
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "0s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }
  documentation {
    subject   = "${each.value.title}: docs/runbooks.md#${each.value.anchor}"
    content   = "Follow docs/runbooks.md#${each.value.anchor}."
    mime_type = "text/markdown"
  }
  notification_channels = var.channels
}

resource "google_monitoring_alert_policy" "job_failed" {
  project      = var.projects.raw
  display_name = "${var.prefix}: a job failed"
  combiner     = "OR"
  severity     = "CRITICAL"

  conditions {
    display_name = "Dataflow stopped the job after repeated failures"
    condition_threshold {
      filter          = "resource.type = \"dataflow_job\" AND resource.labels.job_name = starts_with(\"${var.prefix}-\") AND metric.type = \"dataflow.googleapis.com/job/is_failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }
  documentation {
    subject   = "A job failed: docs/runbooks.md#roll-back"
    content   = "Unacknowledged messages are lost after 7 days. Follow docs/runbooks.md#roll-back."
    mime_type = "text/markdown"
  }
  notification_channels = var.channels
}
