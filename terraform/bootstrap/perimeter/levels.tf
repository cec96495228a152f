# From where calls may come. A level that exists already, such as one of the company's devices, is named in `origins`.
resource "google_access_context_manager_access_level" "network" {
  for_each = { for group, origin in var.origins : group => origin.networks if length(origin.networks) > 0 }
  parent   = "accessPolicies/${var.access_policy}"
  name     = "accessPolicies/${var.access_policy}/accessLevels/${var.name}_${each.key}"
  title    = "Networks of the ${each.key} of ${var.project}"

  basic {
    conditions {
      ip_subnetworks = each.value
    }
  }
}

# Cloud Logging delivers from addresses of Google that no other access level describes, so this one names the accounts.
resource "google_access_context_manager_access_level" "log_delivery" {
  parent = "accessPolicies/${var.access_policy}"
  name   = "accessPolicies/${var.access_policy}/accessLevels/${var.name}_log_delivery"
  title  = "Log delivery of ${var.project}"

  basic {
    conditions {
      members = var.log_writers
    }
  }
}
