# Temporary files of the job. They are kept for a day and can be read by the worker only.
resource "google_storage_bucket" "temp" {
  #checkov:skip=CKV_GCP_78:Versioning would keep what the lifecycle rule deletes after a day.
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
  # The default would keep a deleted object for a week.
  soft_delete_policy {
    retention_duration_seconds = 0
  }
  logging {
    log_bucket = var.log_bucket
  }
}

resource "google_storage_bucket_iam_member" "worker_writes_temp" {
  bucket = google_storage_bucket.temp.name
  role   = var.roles.temp_user
  member = var.worker.member
}

# The job's code and options, which workers that start later still read. A worker cannot replace them, so content that
# takes over one worker does not reach the next job.
resource "google_storage_bucket" "staging" {
  project                     = var.project
  name                        = var.names.staging_bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  versioning {
    enabled = true
  }
  encryption {
    default_kms_key_name = var.key
  }
  logging {
    log_bucket = var.log_bucket
  }
}

resource "google_storage_bucket_iam_member" "worker_reads_staging" {
  bucket = google_storage_bucket.staging.name
  role   = var.roles.staging_reader
  member = var.worker.member
}

# The producers' own buckets, for messages that only name an object (claim checks).
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

# Read once, by the launcher: workers get the stream with the job. The file of an earlier job stays, because the launcher
# starts minutes after its request, an earlier job file can be launched again, and a running job names what it follows.
resource "google_storage_bucket_object" "stream_file" {
  bucket          = var.config_bucket
  name            = var.names.stream_file
  content         = file(var.names.file)
  content_type    = "application/yaml"
  deletion_policy = "ABANDON"
}
