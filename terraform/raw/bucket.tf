# What Dataflow stages: for a day, readable by the worker alone.
resource "google_storage_bucket" "temp" {
  #checkov:skip=CKV_GCP_78:Versions would keep what the day's lifecycle deletes.
  project                     = var.project
  name                        = var.names.temp_bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  encryption {
    default_kms_key_name = var.key
  }
  lifecycle_rule {
    condition {
      age = var.retention.temp_days
    }
    action {
      type = "Delete"
    }
  }
  # A deleted object would stay for a week.
  soft_delete_policy {
    retention_duration_seconds = 0
  }
  logging {
    log_bucket = var.log_bucket
  }
}

resource "google_storage_bucket_iam_member" "worker_stages" {
  bucket = google_storage_bucket.temp.name
  role   = "roles/storage.objectAdmin"
  member = var.worker.member
}

# The producer's own buckets, where messages only name objects (claim checks).
resource "google_storage_bucket_iam_member" "worker_reads_objects" {
  for_each = toset(var.names.claim_check_buckets)
  bucket   = each.value
  role     = "roles/storage.objectViewer"
  member   = var.worker.member
}

resource "google_storage_bucket_iam_member" "worker_reads_config" {
  bucket = var.config_bucket
  role   = "roles/storage.objectViewer"
  member = var.worker.member
}

resource "google_storage_bucket_object" "stream_file" {
  bucket       = var.config_bucket
  name         = "streams/${var.names.stream}.yaml"
  content      = file(var.names.file)
  content_type = "application/yaml"
}
