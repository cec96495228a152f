# The three projects and the trust boundaries between them; terraform/README.md has a diagram.
data "google_project" "raw" {
  project_id = var.raw_project
}

data "google_project" "warehouse" {
  project_id = var.warehouse_project
}

data "google_project" "audit" {
  project_id = var.audit_project
}

locals {
  projects = { raw = var.raw_project, warehouse = var.warehouse_project, audit = var.audit_project }
  numbers = {
    raw = data.google_project.raw.number, warehouse = data.google_project.warehouse.number, audit = data.google_project.audit.number
  }
  workers  = { for name, account in google_service_account.worker : name => account.member }
  services = module.serving.accounts
  worker_roles = {
    worker         = google_project_iam_custom_role.worker.name
    temp_user      = google_project_iam_custom_role.temp_user.name
    staging_reader = google_project_iam_custom_role.staging_reader.name
  }
  # As IAM members.
  deployers = toset([for email in var.deployers : "serviceAccount:${email}"])
  launchers = toset([for email in var.launchers : "serviceAccount:${email}"])
  mappers   = toset([for email in var.subject_mappers : "serviceAccount:${email}"])
  erasers   = toset([for email in var.erasers : "serviceAccount:${email}"])
}

module "design" {
  source                = "./design"
  raw_project           = var.raw_project
  raw_project_number    = local.numbers.raw
  warehouse_project     = var.warehouse_project
  region                = var.region
  prefix                = var.prefix
  pseudonym_key_version = var.pseudonym_key_version
  image                 = var.image
  streams               = var.streams
  service_file          = var.service_file
  service_image         = var.service_image
  attestor              = var.attestor
  callers               = var.callers
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
  has_usage_logs     = each.key == "raw"
  encrypted_services = [for agent in distinct(flatten(values(module.design.keys)[*].agents)) : "${agent}.googleapis.com"]
  depends_on         = [google_project_service.raw, google_project_service.warehouse, google_project_service.audit]
}

module "keys" {
  source     = "./keys"
  projects   = local.projects
  numbers    = local.numbers
  region     = var.region
  prefix     = var.prefix
  keys       = module.design.keys
  retention  = module.design.retention
  secret     = module.design.names.secret
  depends_on = [google_project_service.raw, google_project_service.warehouse, google_project_service.audit]
}

module "perimeter" {
  source          = "./perimeter"
  project         = var.raw_project
  numbers         = local.numbers
  region          = var.region
  network         = module.design.names.network
  cidr            = var.cidr
  access_policy   = var.access_policy
  access_levels   = var.access_levels
  driver_projects = var.driver_projects
  writers         = setunion(values(local.workers), [local.services.encoder, local.services.orchestrator])
  readers         = [local.services.classifier]
  log_writers     = module.audit.log_writers
  identities = {
    producers   = toset(flatten([for stream in values(var.streams) : tolist(stream.publishers)]))
    mappers     = setunion(local.mappers, local.erasers)
    builders    = toset([for email in setunion(var.dataset_builders, var.encoder_managers) : "serviceAccount:${email}"])
    scientists  = ["group:${var.groups.scientists}"]
    auditors    = ["group:${var.groups.auditors}"]
    owners      = ["group:${var.groups.owners}"]
    delivery    = setunion(local.deployers, local.launchers)
    break_glass = ["group:${var.break_glass.readers}"]
  }
}

module "raw" {
  source        = "./raw"
  for_each      = module.design.streams
  project       = var.raw_project
  region        = var.region
  names         = each.value
  worker        = google_service_account.worker[each.key]
  roles         = local.worker_roles
  request       = jsonencode(module.design.jobs[each.key])
  config_bucket = google_storage_bucket.config.name
  log_bucket    = google_storage_bucket.usage_logs.name
  key           = module.keys.keys.raw
  secret        = module.keys.secret
  repository    = module.design.names.repository
  retention     = module.design.retention
  publishers    = var.streams[each.key].publishers
  launchers     = local.launchers
  prerequisites = concat(module.warehouse.worker_grants, module.perimeter.barriers, [google_storage_bucket_object.job_warehouse_file.id])
  channels      = var.channels
}

module "warehouse" {
  source            = "./warehouse"
  project           = var.warehouse_project
  region            = var.region
  prefix            = var.prefix
  datasets          = module.design.names.datasets
  tables            = module.design.tables
  policy_tags       = module.design.policy_tags
  time_travel_hours = module.design.retention.time_travel_hours
  key               = module.keys.keys.warehouse
  workers           = local.workers
  services          = local.services
  subject_mappers   = var.subject_mappers
  erasers           = var.erasers
  dataset_builders  = var.dataset_builders
  encoder_managers  = var.encoder_managers
  owners            = var.groups.owners
  scientists        = var.groups.scientists
  auditors          = var.groups.auditors
  channels          = var.warehouse_channels
}

module "serving" {
  source        = "./serving"
  project       = var.raw_project
  region        = var.region
  services      = module.design.names.services
  files         = module.design.service_files
  image         = var.service_image
  attestor      = var.attestor
  network       = { network = module.perimeter.network, subnetwork = module.perimeter.subnetwork }
  key           = module.keys.keys.serving
  secret        = module.keys.secret
  config_bucket = google_storage_bucket.config.name
  heads_bucket  = module.design.names.heads_bucket
  log_bucket    = google_storage_bucket.usage_logs.name
  callers       = var.callers
  deployers     = local.launchers
}

module "observability" {
  source           = "./observability"
  projects         = local.projects
  prefix           = var.prefix
  rejection_alerts = module.design.rejection_alerts
  channels         = var.channels
}

module "audit" {
  source         = "./audit"
  projects       = local.projects
  region         = var.region
  prefix         = var.prefix
  key            = module.keys.keys.audit
  retention_days = module.design.retention.log_days
  dataset        = module.warehouse.datasets.audit
  auditors       = var.groups.auditors
  workers        = toset(values(local.workers))
}
