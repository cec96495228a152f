# Customer-managed keys for everything at rest, and the secret of the pseudonym key. Terraform never handles its value,
# because the state would contain it.
terraform {
  required_providers {
    google      = { source = "hashicorp/google" }
    google-beta = { source = "hashicorp/google-beta" }
  }
}

resource "google_kms_key_ring" "of" {
  for_each = var.projects
  project  = each.value
  name     = var.prefix
  location = var.region
}

resource "google_kms_crypto_key" "of" {
  #checkov:skip=CKV_GCP_43:The keys rotate every 90 days; checkov does not resolve the value from design/retention.tf.
  for_each                   = var.keys
  name                       = each.key
  key_ring                   = google_kms_key_ring.of[each.value.project].id
  rotation_period            = "${var.retention.key_rotation_seconds}s"
  destroy_scheduled_duration = "${var.retention.key_destruction_seconds}s"

  version_template {
    algorithm        = "GOOGLE_SYMMETRIC_ENCRYPTION"
    protection_level = "HSM"
  }
  lifecycle {
    prevent_destroy = true
  }
}

# Creates the service agents, so that a new project has accounts to grant the keys to.
resource "google_project_service_identity" "agent" {
  provider = google-beta
  for_each = toset(["pubsub.googleapis.com", "secretmanager.googleapis.com", "dataflow.googleapis.com", "run.googleapis.com"])
  project  = var.projects.raw
  service  = each.value
}

data "google_storage_project_service_account" "raw" {
  project = var.projects.raw
}

data "google_bigquery_default_service_account" "warehouse" {
  project = var.projects.warehouse
}

data "google_logging_project_cmek_settings" "audit" {
  project = var.projects.audit
}

locals {
  agents = {
    logging       = "serviceAccount:${data.google_logging_project_cmek_settings.audit.service_account_id}"
    pubsub        = google_project_service_identity.agent["pubsub.googleapis.com"].member
    secretmanager = google_project_service_identity.agent["secretmanager.googleapis.com"].member
    dataflow      = google_project_service_identity.agent["dataflow.googleapis.com"].member
    run           = google_project_service_identity.agent["run.googleapis.com"].member
    compute       = "serviceAccount:service-${var.numbers.raw}@compute-system.iam.gserviceaccount.com"
    storage       = data.google_storage_project_service_account.raw.member
    bigquery      = data.google_bigquery_default_service_account.warehouse.member
  }
  uses = merge([for name, key in var.keys : { for agent in key.agents : "${name}/${agent}" => { key = name, agent = agent } }]...)
}

resource "google_kms_crypto_key_iam_member" "agent_uses_key" {
  for_each      = local.uses
  crypto_key_id = google_kms_crypto_key.of[each.value.key].id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = local.agents[each.value.agent]
}

resource "google_secret_manager_secret" "pseudonym_key" {
  project             = var.projects.raw
  secret_id           = var.secret
  deletion_protection = true
  # A version that is destroyed by mistake can be restored for a month. Without it new rows could not be joined with old
  # ones.
  version_destroy_ttl = "${var.retention.key_destruction_seconds}s"

  replication {
    user_managed {
      replicas {
        location = var.region
        customer_managed_encryption {
          kms_key_name = google_kms_crypto_key.of["secret"].id
        }
      }
    }
  }
  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key]
}
