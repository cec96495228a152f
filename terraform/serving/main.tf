# Encoder, classifier and orchestrator as services that can be reached from the production network only.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

locals {
  # An instance reads its files when it starts, so a change of one must create a revision.
  configurations = { for role, file in var.files : role => substr(sha256("${file}${var.warehouse}"), 0, 12) }

  # All volumes are read-only, so that no service can store raw content.
  mounts = {
    encoder      = { config = var.config_bucket }
    classifier   = { config = var.config_bucket, heads = google_storage_bucket.heads.name }
    orchestrator = { config = var.config_bucket }
  }
}

resource "google_storage_bucket_object" "file" {
  for_each     = var.files
  bucket       = var.config_bucket
  name         = "${each.key}.yaml"
  content      = each.value
  content_type = "application/yaml"
}

resource "google_cloud_run_v2_service" "of" {
  for_each             = var.files
  project              = var.project
  name                 = var.services[each.key].name
  location             = var.region
  ingress              = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  invoker_iam_disabled = false
  deletion_protection  = true

  binary_authorization {
    use_default = true
  }
  template {
    labels                           = { configuration = local.configurations[each.key] }
    service_account                  = trimprefix(var.accounts[each.key], "serviceAccount:")
    encryption_key                   = var.key
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    max_instance_request_concurrency = 64
    timeout                          = "30s"

    scaling {
      min_instance_count = var.sizes[each.key].min
      max_instance_count = var.sizes[each.key].max
    }
    vpc_access {
      egress = "ALL_TRAFFIC"
      network_interfaces {
        network    = var.network.network
        subnetwork = var.network.subnetwork
      }
    }
    containers {
      image = var.image
      args  = ["/config/${each.key}.yaml", "--role", each.key, "--host", "0.0.0.0", "--warehouse", "/config/warehouse.yaml"]

      resources {
        limits            = { cpu = var.sizes[each.key].cpu, memory = var.sizes[each.key].memory }
        cpu_idle          = false # batches and the prediction log are processed between requests
        startup_cpu_boost = true
      }
      startup_probe {
        failure_threshold = 24
        period_seconds    = 10
        timeout_seconds   = 5
        http_get {
          path = "/health"
        }
      }
      liveness_probe {
        http_get {
          path = "/health"
        }
      }
      dynamic "volume_mounts" {
        for_each = local.mounts[each.key]
        content {
          name       = volume_mounts.key
          mount_path = "/${volume_mounts.key}"
        }
      }
    }
    dynamic "volumes" {
      for_each = local.mounts[each.key]
      content {
        name = volumes.key
        gcs {
          bucket    = volumes.value
          read_only = true
        }
      }
    }
  }
  depends_on = [google_storage_bucket_object.file, google_storage_bucket_iam_member.service_reads_config, google_binary_authorization_policy.attested]
}
