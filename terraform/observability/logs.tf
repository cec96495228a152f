# Which logs are not kept. terraform/audit keeps the audit logs.

# Excludes Beam's messages below warning level, which could quote an element.
resource "google_logging_project_exclusion" "worker_chatter" {
  project = var.projects.raw
  name    = "${var.prefix}-worker-chatter"
  filter  = "resource.type=\"dataflow_step\" logName:\"dataflow.googleapis.com%2Fworker\" severity<WARNING"
}

# Excludes every request to Cloud Run, because its log has the URL and the address of the caller. Alerts count responses by
# Cloud Run's own metric.
resource "google_logging_project_exclusion" "requests" {
  project = var.projects.raw
  name    = "${var.prefix}-requests"
  filter  = "logName:\"run.googleapis.com%2Frequests\""
}
