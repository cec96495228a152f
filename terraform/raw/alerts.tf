# A growing backlog is the first sign of anything that stops the job.
resource "google_monitoring_alert_policy" "oldest_unacked" {
  project      = var.project
  display_name = "${var.names.subscription}: oldest message is over an hour old"
  combiner     = "OR"
  severity     = "CRITICAL"

  conditions {
    display_name = "Oldest unacknowledged message"
    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.ingest.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.retention.oldest_unacked_alert
      duration        = "300s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }
  documentation {
    subject   = "Backlog: docs/runbooks.md#backlog"
    content   = "Follow docs/runbooks.md#backlog. Messages that are not acknowledged within 7 days are lost."
    mime_type = "text/markdown"
  }
  notification_channels = var.channels
}
