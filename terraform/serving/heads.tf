# Deployed heads. Their weights are learned from embeddings and are as confidential.
resource "google_storage_bucket" "heads" {
  project                     = var.project
  name                        = var.heads_bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  encryption {
    default_kms_key_name = var.key
  }
  # A rollback needs the previous deployment.
  versioning {
    enabled = true
  }
  logging {
    log_bucket = var.log_bucket
  }
}

resource "google_storage_bucket_iam_member" "classifier_reads_heads" {
  bucket = google_storage_bucket.heads.name
  role   = "roles/storage.objectViewer"
  member = var.accounts["classifier"]
}

resource "google_storage_bucket_iam_member" "deployer_writes_heads" {
  for_each = var.deployers
  bucket   = google_storage_bucket.heads.name
  role     = "roles/storage.objectUser"
  member   = each.value
}
