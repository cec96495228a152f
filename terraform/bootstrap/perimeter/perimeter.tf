# A service perimeter around the production project, and one around the warehouse and the audit project: not even an
# account with every role can send rows or content out through an API.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

locals {
  # The services that can store or transfer content. Other services cannot be reached from the network either.
  restricted_services = [
    "artifactregistry.googleapis.com", "bigquery.googleapis.com", "bigquerystorage.googleapis.com",
    "cloudkms.googleapis.com", "compute.googleapis.com", "dataflow.googleapis.com", "logging.googleapis.com",
    "monitoring.googleapis.com", "pubsub.googleapis.com", "run.googleapis.com", "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ]
}

resource "google_access_context_manager_service_perimeter" "of" {
  for_each = local.perimeters
  parent   = "accessPolicies/${var.access_policy}"
  name     = "accessPolicies/${var.access_policy}/servicePerimeters/${var.name}_${each.key}"
  title    = "${each.value.title} of ${var.project}"

  # Not enforced, a perimeter only logs what it would block: `spec` instead of `status`, with the same rules.
  use_explicit_dry_run_spec = !var.enforced

  dynamic "status" {
    for_each = var.enforced ? [each.value] : []
    content {
      resources           = each.value.resources
      restricted_services = local.restricted_services

      vpc_accessible_services {
        enable_restriction = true
        allowed_services   = ["RESTRICTED-SERVICES"]
      }

      dynamic "egress_policies" {
        for_each = each.value.egress
        iterator = rule
        content {
          title = rule.value.title
          egress_from {
            identities    = rule.value.identities
            identity_type = length(rule.value.identities) == 0 ? "ANY_IDENTITY" : null
          }
          egress_to {
            resources = rule.value.to
            dynamic "operations" {
              for_each = rule.value.operations
              content {
                service_name = operations.value.service
                dynamic "method_selectors" {
                  for_each = operations.value.methods
                  content {
                    method = method_selectors.value
                  }
                }
                dynamic "method_selectors" {
                  for_each = operations.value.permissions
                  content {
                    permission = method_selectors.value
                  }
                }
              }
            }
          }
        }
      }

      dynamic "ingress_policies" {
        for_each = each.value.ingress
        iterator = rule
        content {
          title = rule.value.title
          ingress_from {
            identities = rule.value.identities
            dynamic "sources" {
              for_each = rule.value.from.levels
              content {
                access_level = sources.value
              }
            }
            dynamic "sources" {
              for_each = rule.value.from.projects
              content {
                resource = sources.value
              }
            }
          }
          ingress_to {
            resources = rule.value.to
            dynamic "operations" {
              for_each = rule.value.operations
              content {
                service_name = operations.value.service
                dynamic "method_selectors" {
                  for_each = operations.value.methods
                  content {
                    method = method_selectors.value
                  }
                }
                dynamic "method_selectors" {
                  for_each = operations.value.permissions
                  content {
                    permission = method_selectors.value
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  dynamic "spec" {
    for_each = var.enforced ? [] : [each.value]
    content {
      resources           = each.value.resources
      restricted_services = local.restricted_services

      vpc_accessible_services {
        enable_restriction = true
        allowed_services   = ["RESTRICTED-SERVICES"]
      }

      dynamic "egress_policies" {
        for_each = each.value.egress
        iterator = rule
        content {
          title = rule.value.title
          egress_from {
            identities    = rule.value.identities
            identity_type = length(rule.value.identities) == 0 ? "ANY_IDENTITY" : null
          }
          egress_to {
            resources = rule.value.to
            dynamic "operations" {
              for_each = rule.value.operations
              content {
                service_name = operations.value.service
                dynamic "method_selectors" {
                  for_each = operations.value.methods
                  content {
                    method = method_selectors.value
                  }
                }
                dynamic "method_selectors" {
                  for_each = operations.value.permissions
                  content {
                    permission = method_selectors.value
                  }
                }
              }
            }
          }
        }
      }

      dynamic "ingress_policies" {
        for_each = each.value.ingress
        iterator = rule
        content {
          title = rule.value.title
          ingress_from {
            identities = rule.value.identities
            dynamic "sources" {
              for_each = rule.value.from.levels
              content {
                access_level = sources.value
              }
            }
            dynamic "sources" {
              for_each = rule.value.from.projects
              content {
                resource = sources.value
              }
            }
          }
          ingress_to {
            resources = rule.value.to
            dynamic "operations" {
              for_each = rule.value.operations
              content {
                service_name = operations.value.service
                dynamic "method_selectors" {
                  for_each = operations.value.methods
                  content {
                    method = method_selectors.value
                  }
                }
                dynamic "method_selectors" {
                  for_each = operations.value.permissions
                  content {
                    permission = method_selectors.value
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}
