# What the deployer may do: apply terraform/, and no more. Predefined roles where they permit to manage resources only;
# where they would also permit to read messages, rows, secrets or objects, or to call a service, a role of our own.
# terraform/rights.yaml says what each type of resource needs; `make check` compares it with the plan.
locals {
  deployer_roles = {
    raw = [
      "roles/binaryauthorization.policyEditor", "roles/cloudkms.admin", "roles/compute.networkAdmin", "roles/compute.securityAdmin",
      "roles/dns.admin", "roles/iam.roleAdmin", "roles/logging.configWriter", "roles/monitoring.editor",
      "roles/resourcemanager.projectIamAdmin", "roles/serviceusage.serviceUsageAdmin",
    ]
    warehouse = [
      "roles/cloudkms.admin", "roles/datacatalog.categoryAdmin", "roles/iam.roleAdmin", "roles/logging.configWriter",
      "roles/monitoring.editor", "roles/resourcemanager.projectIamAdmin",
    ]
    audit = ["roles/cloudkms.admin", "roles/logging.configWriter", "roles/resourcemanager.projectIamAdmin"]
  }
  deployer_grants = merge(flatten([for project, roles in local.deployer_roles : [for role in roles :
    { for member in local.deployers : "${member} ${project} ${role}" => { member = member, project = local.projects[project], role = role } }
  ]])...)
}

resource "google_project_iam_member" "deployer" {
  #checkov:skip=CKV_GCP_49:Terraform sets the access of accounts, and deny.tf lets it take the identity of none.
  #checkov:skip=CKV_GCP_41:The deployer acts as the services' accounts only (deployer_acts_as_service).
  for_each = local.deployer_grants
  project  = each.value.project
  role     = each.value.role
  member   = each.value.member
}

# By project: a name, what it is for, and the permissions.
locals {
  deployer_manages = {
    raw = {
      name        = "content"
      description = "Manages topics, buckets, secrets, services and access to them, and reads no content"
      permissions = {
        "artifactregistry.repositories" = ["downloadArtifacts", "getIamPolicy", "setIamPolicy"]
        "iam.serviceAccounts"           = ["get", "getIamPolicy", "list", "setIamPolicy"]
        "pubsub.schemas"                = ["create", "delete", "get", "list", "validate"]
        "pubsub.subscriptions"          = ["create", "delete", "get", "getIamPolicy", "list", "setIamPolicy", "update"]
        "pubsub.topics"                 = ["attachSubscription", "create", "delete", "get", "getIamPolicy", "list", "setIamPolicy", "update"]
        "run.operations"                = ["get", "list"]
        "run.services"                  = ["create", "delete", "get", "getIamPolicy", "list", "setIamPolicy", "update"]
        "secretmanager.secrets"         = ["create", "delete", "get", "getIamPolicy", "list", "setIamPolicy", "update"]
        "storage.buckets"               = ["create", "delete", "get", "getIamPolicy", "list", "setIamPolicy", "update"]
      }
    }
    warehouse = {
      name        = "rows"
      description = "Manages datasets, tables and functions, and reads no row"
      permissions = {
        "bigquery.datasets" = ["create", "delete", "get", "getIamPolicy", "setIamPolicy", "update"]
        "bigquery.routines" = ["create", "delete", "get", "list", "update"]
        "bigquery.tables"   = ["create", "delete", "get", "getIamPolicy", "list", "setCategory", "setIamPolicy", "update"]
      }
    }
    audit = {
      name        = "records"
      description = "Sets who may read the view of the records and which key encrypts them, and reads none"
      permissions = { "logging.cmekSettings" = ["get"], "logging.views" = ["getIamPolicy", "setIamPolicy"] }
    }
  }
}

resource "google_project_iam_custom_role" "deployer" {
  for_each    = local.deployer_manages
  project     = local.projects[each.key]
  role_id     = "${var.prefix}_deployer_of_${each.value.name}"
  title       = "Rawless deployer: ${each.value.name}"
  description = each.value.description
  permissions = flatten([for resource, actions in each.value.permissions : [for action in actions : "${resource}.${action}"]])
}

resource "google_project_iam_member" "deployer_manages" {
  for_each = { for pair in setproduct(keys(local.deployer_manages), local.deployers) : join(" ", pair) => { project = pair[0], member = pair[1] } }
  project  = local.projects[each.value.project]
  role     = google_project_iam_custom_role.deployer[each.value.project].name
  member   = each.value.member
}

# Configuration files are the only objects that Terraform writes.
resource "google_project_iam_member" "deployer_writes_config" {
  for_each = local.deployers
  project  = var.raw_project
  role     = "roles/storage.objectUser"
  member   = each.value

  condition {
    title      = "configuration files"
    expression = "resource.name.startsWith(\"projects/_/buckets/${module.design.names.config_bucket}/\")"
  }
}

# To deploy a service is to act as its account.
resource "google_service_account_iam_member" "deployer_acts_as_service" {
  #checkov:skip=CKV_GCP_41:The role is granted on the services' accounts only, as deploying them requires.
  for_each           = { for pair in setproduct(keys(module.design.names.services), local.deployers) : join(" ", pair) => { role = pair[0], member = pair[1] } }
  service_account_id = google_service_account.service[each.value.role].name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value.member
}
