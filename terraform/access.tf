# Roles in the production project that belong to no stream. Nobody in them is a person, but by break-glass.
resource "google_service_account" "worker" {
  for_each     = module.design.streams
  project      = var.raw_project
  account_id   = each.value.worker_account
  display_name = "Encodes ${each.key}"
  depends_on   = [google_project_service.raw]
}

resource "google_project_iam_member" "launcher_launches" {
  #checkov:skip=CKV_GCP_49:It acts as no account by this, but as each worker by a grant on that account (raw/accounts.tf).
  for_each = var.launchers
  project  = var.raw_project
  role     = "roles/dataflow.developer"
  member   = each.value
}

resource "google_storage_bucket_iam_member" "launcher_reads_template" {
  for_each = var.launchers
  bucket   = google_storage_bucket.config.name
  role     = "roles/storage.objectViewer"
  member   = each.value
}

# The map's pseudonyms are computed outside of BigQuery, by whoever fills it.
resource "google_secret_manager_secret_iam_member" "builder_reads_pseudonym_key" {
  for_each  = local.builders
  secret_id = module.keys.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value
}

# For one person, until a time, for a ticket that is in the grant; every call is in the audit log, and is told
# (docs/runbooks.md#perimeter-violation). The perimeter still needs an access level for them.
resource "google_project_iam_member" "break_glass" {
  count   = var.break_glass == null ? 0 : 1
  project = var.raw_project
  role    = "roles/storage.objectViewer"
  member  = var.break_glass.member

  condition {
    title      = "break-glass ${var.break_glass.ticket}"
    expression = "request.time < timestamp(\"${var.break_glass.until}\")"
  }
}
