# What an administrator of the organisation applies once, before the deployer applies terraform/: APIs, accounts and the
# deployer's roles, policies of the organisation, access levels, service perimeters, denials, and break-glass access.
# Nothing here calls an API that a perimeter protects, so its administrator is never locked out of it.
data "google_project" "raw" {
  project_id = var.raw_project
}

data "google_project" "warehouse" {
  project_id = var.warehouse_project
}

data "google_project" "audit" {
  project_id = var.audit_project
}

data "google_project" "claim_checks" {
  for_each   = local.claim_check_projects
  project_id = each.value
}

locals {
  projects = { raw = var.raw_project, warehouse = var.warehouse_project, audit = var.audit_project }
  numbers = {
    raw = data.google_project.raw.number, warehouse = data.google_project.warehouse.number, audit = data.google_project.audit.number
  }
  # Paths in the variables are relative to terraform/.
  streams = {
    for name, stream in var.streams : name => merge(stream, { file = startswith(stream.file, "/") ? stream.file : "../${stream.file}" })
  }
  workers   = { for name, account in google_service_account.worker : name => account.member }
  services  = { for role, account in google_service_account.service : role => account.member }
  deployers = toset([for email in var.deployers : "serviceAccount:${email}"])
  launchers = toset([for email in var.launchers : "serviceAccount:${email}"])
  mappers   = toset([for email in var.subject_mappers : "serviceAccount:${email}"])
  erasers   = toset([for email in var.erasers : "serviceAccount:${email}"])

  claim_check_projects = toset(flatten([for buckets in values(module.design.claim_checks.elsewhere) : values(buckets)]))
}

module "design" {
  source               = "../design"
  raw_project          = var.raw_project
  raw_project_number   = local.numbers.raw
  warehouse_project    = var.warehouse_project
  region               = var.region
  prefix               = var.prefix
  image                = var.image
  streams              = local.streams
  claim_check_projects = var.claim_check_projects
  accounts = {
    deployers = var.deployers, launchers = var.launchers, mappers = var.subject_mappers, erasers = var.erasers,
    builders  = var.dataset_builders, managers = var.encoder_managers
  }
}

module "policies" {
  source             = "./policies"
  for_each           = local.projects
  project            = each.value
  region             = var.region
  customer           = var.customer
  runs_raw_content   = each.key == "raw"
  encrypted_services = [for agent in distinct(flatten(values(module.design.keys)[*].agents)) : "${agent}.googleapis.com"]
  depends_on         = [google_project_service.raw, google_project_service.warehouse, google_project_service.audit]
}

module "perimeter" {
  source          = "./perimeter"
  project         = var.raw_project
  numbers         = local.numbers
  name            = replace(module.design.names.network, "-", "_")
  access_policy   = var.access_policy
  origins         = var.origins
  enforced        = var.enforce_perimeters
  image_project   = module.design.names.repository.project
  driver_projects = var.driver_projects
  gpu_workers     = toset([for name, stream in var.streams : local.workers[name] if stream.accelerator != ""])
  claim_checks = { for project in local.claim_check_projects : data.google_project.claim_checks[project].number => toset([
    for name, buckets in module.design.claim_checks.elsewhere : local.workers[name] if contains(values(buckets), project)
  ]) }
  writers     = setunion(values(local.workers), [local.services.encoder, local.services.orchestrator])
  readers     = [local.services.classifier]
  log_writers = toset([for agent in google_project_service_identity.logging : agent.member])
  identities = {
    producers   = toset(flatten([for stream in values(var.streams) : tolist(stream.publishers)]))
    mappers     = setunion(local.mappers, local.erasers)
    builders    = toset([for email in setunion(var.dataset_builders, var.encoder_managers) : "serviceAccount:${email}"])
    scientists  = ["group:${var.groups.scientists}"]
    auditors    = ["group:${var.groups.auditors}"]
    owners      = ["group:${var.groups.owners}"]
    custodians  = ["group:${var.groups.custodians}"]
    delivery    = setunion(local.deployers, local.launchers)
    break_glass = ["group:${var.break_glass.readers}"]
  }
}
