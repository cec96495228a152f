# The service perimeter of the production project: not even an account with every role can send content out through an API.
locals {
  # The services that can store or transfer content. Other services cannot be reached from the network either.
  restricted_services = [
    "artifactregistry.googleapis.com", "bigquery.googleapis.com", "bigquerystorage.googleapis.com",
    "cloudkms.googleapis.com", "compute.googleapis.com", "dataflow.googleapis.com", "logging.googleapis.com",
    "monitoring.googleapis.com", "pubsub.googleapis.com", "run.googleapis.com", "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ]
}

resource "google_access_context_manager_service_perimeter" "production" {
  parent = "accessPolicies/${var.access_policy}"
  name   = "accessPolicies/${var.access_policy}/servicePerimeters/${replace(var.network, "-", "_")}"
  title  = "Raw content of ${var.project}"

  status {
    resources           = ["projects/${var.numbers.raw}"]
    restricted_services = local.restricted_services

    vpc_accessible_services {
      enable_restriction = true
      allowed_services   = ["RESTRICTED-SERVICES"]
    }

    # The only egress: appending rows to the warehouse and looking up encoders there.
    egress_policies {
      title = "Embeddings to the warehouse"
      egress_from {
        identities = var.callers
      }
      egress_to {
        resources = ["projects/${var.numbers.warehouse}"]
        operations {
          service_name = "bigquery.googleapis.com"
          method_selectors {
            method = "*"
          }
        }
      }
    }

    # Only the service accounts named here can enter. In addition to the break-glass role, a person needs an access level
    # of the organisation.
    ingress_policies {
      title = "Pseudonym key for the subject map"
      ingress_from {
        identities = var.key_readers
        sources {
          access_level = "*"
        }
      }
      ingress_to {
        resources = ["projects/${var.numbers.raw}"]
        operations {
          service_name = "secretmanager.googleapis.com"
          method_selectors {
            method = "*"
          }
        }
      }
    }

    # Read access only, to Google's own buckets.
    dynamic "egress_policies" {
      for_each = length(var.driver_projects) == 0 ? [] : [var.driver_projects]
      content {
        title = "GPU drivers"
        egress_from {
          identity_type = "ANY_SERVICE_ACCOUNT"
        }
        egress_to {
          resources = [for number in egress_policies.value : "projects/${number}"]
          operations {
            service_name = "storage.googleapis.com"
            method_selectors {
              method = "google.storage.objects.get"
            }
          }
        }
      }
    }

    ingress_policies {
      title = "Producers"
      ingress_from {
        identities = var.publishers
        sources {
          access_level = "*"
        }
      }
      ingress_to {
        resources = ["projects/${var.numbers.raw}"]
        dynamic "operations" {
          for_each = ["pubsub.googleapis.com", "storage.googleapis.com"]
          content {
            service_name = operations.value
            method_selectors {
              method = "*"
            }
          }
        }
      }
    }

    # The delivery pipeline manages every service; its roles do not let it read content.
    ingress_policies {
      title = "Delivery pipeline"
      ingress_from {
        identities = var.launchers
        sources {
          access_level = "*"
        }
      }
      ingress_to {
        resources = ["projects/${var.numbers.raw}"]
        dynamic "operations" {
          for_each = local.restricted_services
          content {
            service_name = operations.value
            method_selectors {
              method = "*"
            }
          }
        }
      }
    }
  }
}
