# Told here, beside the subscription, since it is the first sign of anything that stops the job.
resource "google_monitoring_alert_policy" "oldest_unacked" {
  project      = var.project
  display_name = "${var.names.subscription}: a message waits for over an hour"
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
    subject   = "Messages wait: docs/runbooks.md#backlog"
    content   = "Follow docs/runbooks.md#backlog. What nobody acknowledges within 7 days is lost."
    mime_type = "text/markdown"
  }
  notification_channels = var.channels
}
