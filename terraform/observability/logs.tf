# Which logs are not kept. terraform/audit keeps the audit logs.

# Excludes Beam's messages below warning level, which could quote an element.
resource "google_logging_project_exclusion" "worker_chatter" {
  project = var.projects.raw
  name    = "${var.prefix}-worker-chatter"
  filter  = "resource.type=\"dataflow_step\" logName:\"dataflow.googleapis.com%2Fworker\" severity<WARNING"
}

# Excludes query strings and addresses of callers. Failed requests are kept, because alerts count them.
resource "google_logging_project_exclusion" "answered_requests" {
  project = var.projects.raw
  name    = "${var.prefix}-answered-requests"
  filter  = "logName:\"run.googleapis.com%2Frequests\" resource.labels.service_name=~\"^${var.prefix}-\" httpRequest.status<400"
}
