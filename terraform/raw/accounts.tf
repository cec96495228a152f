# Grants of a stream's worker and launchers in the production project. All of them are service accounts. The grants in the
# warehouse project are in terraform/warehouse.
resource "google_project_iam_member" "worker_works" {
  project = var.project
  role    = var.roles.worker
  member  = var.worker.member
}

resource "google_secret_manager_secret_iam_member" "worker_reads_pseudonym_key" {
  secret_id = var.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = var.worker.member
}

resource "google_kms_crypto_key_iam_member" "worker_uses_key" {
  crypto_key_id = var.key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = var.worker.member
}

resource "google_artifact_registry_repository_iam_member" "worker_pulls_image" {
  project    = var.repository.project
  location   = var.repository.location
  repository = var.repository.name
  role       = "roles/artifactregistry.reader"
  member     = var.worker.member
}

resource "google_service_account_iam_member" "launcher_acts_as_worker" {
  #checkov:skip=CKV_GCP_41:The role is granted on this account only, as launching a job that runs as the account requires.
  for_each           = var.launchers
  service_account_id = var.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}
