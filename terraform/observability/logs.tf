# Which logs are kept, and where the accounts that they describe cannot change them.

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

# Logs every read and write of data, except those by the jobs themselves.
resource "google_project_iam_audit_config" "raw" {
  project = var.projects.raw
  service = "allServices"

  dynamic "audit_log_config" {
    for_each = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"]
    content {
      log_type         = audit_log_config.value
      exempted_members = audit_log_config.value == "ADMIN_READ" ? [] : var.workers
    }
  }
}

resource "google_project_iam_audit_config" "warehouse" {
  project = var.projects.warehouse
  service = "allServices"

  dynamic "audit_log_config" {
    for_each = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"]
    content {
      log_type = audit_log_config.value
    }
  }
}

# Keeps the audit logs, which show who read what, in the warehouse project.
resource "google_logging_project_sink" "audit" {
  for_each               = var.projects
  project                = each.value
  name                   = "${var.prefix}-audit"
  destination            = "bigquery.googleapis.com/projects/${var.projects.warehouse}/datasets/${var.audit_dataset}"
  filter                 = "logName:\"cloudaudit.googleapis.com\""
  unique_writer_identity = true

  bigquery_options {
    use_partitioned_tables = true
  }
}

resource "google_bigquery_dataset_access" "sink_writes_audit_logs" {
  for_each      = google_logging_project_sink.audit
  project       = var.projects.warehouse
  dataset_id    = var.audit_dataset
  role          = "WRITER"
  user_by_email = trimprefix(each.value.writer_identity, "serviceAccount:")
}
