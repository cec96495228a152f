# Complete audit logs, in a project of their own: nobody who can change what they describe can delete or shorten them.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

# Cannot be unlocked: neither the retention nor the bucket can be removed before the records expire.
resource "google_logging_project_bucket_config" "records" {
  project          = var.projects.audit
  location         = var.region
  bucket_id        = "${var.prefix}-audit"
  description      = "Complete audit logs of all projects. They contain object names and the text of queries."
  retention_days   = var.retention_days
  locked           = true
  enable_analytics = true

  cmek_settings {
    kms_key_name = var.key
  }
}

resource "google_logging_log_view" "auditors" {
  name        = "auditors"
  bucket      = google_logging_project_bucket_config.records.id
  description = "All records, for the privacy office."
}

resource "google_logging_log_view_iam_member" "auditor_reads_records" {
  parent   = "projects/${var.projects.audit}"
  location = var.region
  bucket   = google_logging_project_bucket_config.records.bucket_id
  name     = google_logging_log_view.auditors.name
  role     = "roles/logging.viewAccessor"
  member   = "group:${var.auditors}"
}

resource "google_logging_project_sink" "records" {
  for_each               = var.projects
  project                = each.value
  name                   = "${var.prefix}-audit"
  destination            = "logging.googleapis.com/${google_logging_project_bucket_config.records.id}"
  filter                 = "logName:\"cloudaudit.googleapis.com\""
  unique_writer_identity = true
}

# Otherwise each project's default bucket would keep the same records for a month, for whoever may read its logs.
resource "google_logging_project_exclusion" "records" {
  for_each = var.projects
  project  = each.value
  name     = "${var.prefix}-audit"
  filter   = "logName:\"cloudaudit.googleapis.com\""
}

# A sink needs no grant in its own project.
resource "google_project_iam_member" "sink_writes_records" {
  for_each = { for name in ["raw", "warehouse"] : name => google_logging_project_sink.records[name].writer_identity }
  project  = var.projects.audit
  role     = "roles/logging.bucketWriter"
  member   = each.value

  condition {
    title      = "audit records"
    expression = "resource.name.endsWith(\"locations/${var.region}/buckets/${var.prefix}-audit\")"
  }
}
