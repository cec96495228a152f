# Resources of the production project that all streams share.
# Configuration without any data: stream files, warehouse files, job files, service files, the Flex Template.
resource "google_storage_bucket" "config" {
  project                     = var.raw_project
  name                        = module.design.names.config_bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }
  encryption {
    default_kms_key_name = module.keys.keys.serving
  }
  logging {
    log_bucket = google_storage_bucket.usage_logs.name
  }
}

# For the services.
resource "google_storage_bucket_object" "warehouse_file" {
  bucket       = google_storage_bucket.config.name
  name         = "warehouse.yaml"
  content      = yamlencode(module.design.warehouse_file)
  content_type = "application/yaml"
}

# For the jobs; those of earlier jobs stay (raw/bucket.tf says why).
resource "google_storage_bucket_object" "job_warehouse_file" {
  bucket          = google_storage_bucket.config.name
  name            = module.design.names.job_warehouse
  content         = yamlencode(module.design.warehouse_file)
  content_type    = "application/yaml"
  deletion_policy = "ABANDON"
}

resource "google_storage_bucket" "usage_logs" {
  #checkov:skip=CKV_GCP_62:The other buckets log to it; its own accesses are in the audit log.
  #checkov:skip=CKV_GCP_78:Logs are written once and deleted by age.
  project                     = var.raw_project
  name                        = module.design.names.log_bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  encryption {
    default_kms_key_name = module.keys.keys.serving
  }
  lifecycle_rule {
    condition {
      age = module.design.retention.log_days
    }
    action {
      type = "Delete"
    }
  }
}

# Cloud Storage writes usage logs as this group.
resource "google_storage_bucket_iam_member" "storage_delivers_logs" {
  bucket = google_storage_bucket.usage_logs.name
  role   = "roles/storage.objectCreator"
  member = "group:cloud-storage-analytics@google.com"
}
