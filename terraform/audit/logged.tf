# Logs every call of every service in every project.
resource "google_project_iam_audit_config" "everything" {
  for_each = var.projects
  project  = each.value
  service  = "allServices"

  dynamic "audit_log_config" {
    for_each = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"]
    content {
      log_type = audit_log_config.value
    }
  }
}

# Except that a job reads the messages and objects of its stream: each of these reads is an event, and has a row.
resource "google_project_iam_audit_config" "worker_reads" {
  for_each = toset(["pubsub.googleapis.com", "storage.googleapis.com"])
  project  = var.projects.raw
  service  = each.value

  audit_log_config {
    log_type         = "DATA_READ"
    exempted_members = var.workers
  }
}
