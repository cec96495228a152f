# What the production project has once, for all streams.
resource "google_project_service" "raw" {
  for_each           = toset(module.design.apis.raw)
  project            = var.raw_project
  service            = each.value
  disable_on_destroy = false
}

resource "google_project_service" "warehouse" {
  for_each           = toset(module.design.apis.warehouse)
  project            = var.warehouse_project
  service            = each.value
  disable_on_destroy = false
}

# A key of a service account is a copy of it that nobody can call back.
resource "google_org_policy_policy" "no_service_account_keys" {
  for_each = {
    for pair in setproduct(values(local.projects), ["iam.disableServiceAccountKeyCreation", "iam.disableServiceAccountKeyUpload"]) :
    join("/", pair) => { project = pair[0], constraint = pair[1] }
  }
  name   = "projects/${each.value.project}/policies/${each.value.constraint}"
  parent = "projects/${each.value.project}"

  spec {
    rules {
      enforce = "TRUE"
    }
  }
  depends_on = [google_project_service.raw, google_project_service.warehouse]
}

# Files that say what is done, and no data: streams, the warehouse's places, services, the template.
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

resource "google_storage_bucket_object" "warehouse_file" {
  bucket       = google_storage_bucket.config.name
  name         = "warehouse.yaml"
  content      = yamlencode(module.design.warehouse_file)
  content_type = "application/yaml"
}

resource "google_storage_bucket" "usage_logs" {
  #checkov:skip=CKV_GCP_62:It is where the others log; its own accesses are in the audit log.
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

# Cloud Storage delivers them as this group.
resource "google_storage_bucket_iam_member" "storage_delivers_logs" {
  bucket = google_storage_bucket.usage_logs.name
  role   = "roles/storage.objectCreator"
  member = "group:cloud-storage-analytics@google.com"
}
