# What is told, and where to look it up: each alert names its place in docs/runbooks.md. No condition looks at content.
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
    display_name = "More rejections than usual: ${join(", ", each.value.reasons)}"
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "0s"
      evaluation_interval = "60s"
    }
  }
  documentation {
    subject   = "Rejections rise: docs/runbooks.md#rejections"
    content   = "The metric's name is rejected.STAGE.REASON. Follow docs/runbooks.md#rejections; encoders and rates by reason are in rejection_v1."
    mime_type = "text/markdown"
  }
  notification_channels = var.channels
}

locals {
  # Alerts on what a log line tells: how many in five minutes, and the runbook's anchor.
  told = {
    bigquery_away    = { above = 0, severity = "CRITICAL", anchor = "bigquery-away", says = "The warehouse takes no rows" }
    perimeter        = { above = 0, severity = "CRITICAL", anchor = "perimeter-violation", says = "A call crossed the perimeter and was refused" }
    human_on_raw     = { above = 0, severity = "CRITICAL", anchor = "perimeter-violation", says = "A person called an API of the production project's data" }
    key_destroyed    = { above = 0, severity = "CRITICAL", anchor = "rotate-keys", says = "A version of a key or secret is to be destroyed" }
    refused_callers  = { above = 20, severity = "WARNING", anchor = "revoke-a-token", says = "A service refuses callers" }
    services_failing = { above = 5, severity = "CRITICAL", anchor = "roll-back", says = "A service answers with errors" }
  }
}

resource "google_monitoring_alert_policy" "told" {
  for_each     = local.told
  project      = var.projects.raw
  display_name = "${var.prefix}: ${each.value.says}"
  combiner     = "OR"
  severity     = each.value.severity

  conditions {
    display_name = each.value.says
    condition_threshold {
      filter          = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.told[each.key].name}\""
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }
  documentation {
    subject   = "${each.value.says}: docs/runbooks.md#${each.value.anchor}"
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
    display_name = "Dataflow gave the job up"
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
    content   = "Messages wait for 7 days and no longer. Follow docs/runbooks.md#roll-back."
    mime_type = "text/markdown"
  }
  notification_channels = var.channels
}
