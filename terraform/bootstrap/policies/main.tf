# Policies of the organisation for each project. They hold for whoever administers the project, and thus for mistakes that
# no role and no check of this repository prevents. terraform/checks/policies.py lists which ones are required.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

locals {
  enforced = toset([
    "compute.disableSerialPortAccess", "compute.requireOsLogin", "iam.automaticIamGrantsForDefaultServiceAccounts",
    # A service account key is a copy of the account's identity that cannot be recalled.
    "iam.disableServiceAccountKeyCreation", "iam.disableServiceAccountKeyUpload", "storage.publicAccessPrevention",
    "storage.uniformBucketLevelAccess",
  ])
  # Google delivers the usage logs of buckets as a group of its own organisation.
  google = "C02h8e9nw"
  allowed = {
    "gcp.resourceLocations" = ["in:${var.region}-locations"]
    # Keys of another project could be withdrawn, or used, by its administrators.
    "gcp.restrictCmekCryptoKeyProjects" = ["projects/${var.project}"]
    "iam.allowedPolicyMemberDomains"    = concat([var.customer], var.runs_raw_content ? [local.google] : [])
  }
}

resource "google_org_policy_policy" "enforced" {
  for_each = local.enforced
  name     = "projects/${var.project}/policies/${each.value}"
  parent   = "projects/${var.project}"

  spec {
    rules {
      enforce = "TRUE"
    }
  }
}

resource "google_org_policy_policy" "allowed" {
  for_each = local.allowed
  name     = "projects/${var.project}/policies/${each.key}"
  parent   = "projects/${var.project}"

  spec {
    rules {
      values {
        allowed_values = each.value
      }
    }
  }
}

resource "google_org_policy_policy" "no_external_address" {
  name   = "projects/${var.project}/policies/compute.vmExternalIpAccess"
  parent = "projects/${var.project}"

  spec {
    rules {
      deny_all = "TRUE"
    }
  }
}

# Denied without a customer-managed key.
resource "google_org_policy_policy" "customer_managed_keys" {
  name   = "projects/${var.project}/policies/gcp.restrictNonCmekServices"
  parent = "projects/${var.project}"

  spec {
    rules {
      values {
        denied_values = var.encrypted_services
      }
    }
  }
}

# A service could otherwise be deployed without the policy of Binary Authorization (serving/images.tf).
resource "google_org_policy_policy" "attested" {
  count  = var.runs_raw_content ? 1 : 0
  name   = "projects/${var.project}/policies/run.allowedBinaryAuthorizationPolicies"
  parent = "projects/${var.project}"

  spec {
    rules {
      values {
        allowed_values = ["default"]
      }
    }
  }
}
