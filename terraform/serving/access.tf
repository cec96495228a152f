# Who may call whom. The service files list the same accounts, and each service verifies the tokens itself as well.
resource "google_cloud_run_v2_service_iam_member" "caller_calls_orchestrator" {
  for_each = { for account in var.callers : account => account if contains(keys(var.files), "orchestrator") }
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.of["orchestrator"].name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${each.value}"
}

resource "google_cloud_run_v2_service_iam_member" "orchestrator_calls_encoder" {
  count    = contains(keys(var.files), "encoder") ? 1 : 0
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.of["encoder"].name
  role     = "roles/run.invoker"
  member   = var.accounts["orchestrator"]
}

resource "google_cloud_run_v2_service_iam_member" "orchestrator_calls_classifier" {
  count    = contains(keys(var.files), "classifier") ? 1 : 0
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.of["classifier"].name
  role     = "roles/run.invoker"
  member   = var.accounts["orchestrator"]
}

resource "google_secret_manager_secret_iam_member" "orchestrator_reads_pseudonym_key" {
  secret_id = var.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = var.accounts["orchestrator"]
}

resource "google_storage_bucket_iam_member" "service_reads_config" {
  for_each = var.services
  bucket   = var.config_bucket
  role     = "roles/storage.objectViewer"
  member   = var.accounts[each.key]
}
