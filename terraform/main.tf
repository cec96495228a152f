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
  # bootstrap/ creates the accounts, because the perimeters and denials name them.
  worker_accounts = { for name, stream in module.design.streams : name => {
    name   = "projects/${var.raw_project}/serviceAccounts/${stream.worker_account}@${var.raw_project}.iam.gserviceaccount.com"
    email  = "${stream.worker_account}@${var.raw_project}.iam.gserviceaccount.com"
    member = "serviceAccount:${stream.worker_account}@${var.raw_project}.iam.gserviceaccount.com"
  } }
  workers = { for name, account in local.worker_accounts : name => account.member }
  services = {
    for role, service in module.design.names.services : role => "serviceAccount:${service.account}@${var.raw_project}.iam.gserviceaccount.com"
  }
  worker_roles = {
    worker         = google_project_iam_custom_role.worker.name
    temp_user      = google_project_iam_custom_role.temp_user.name
    staging_reader = google_project_iam_custom_role.staging_reader.name
  }
  # As IAM members.
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
  claim_check_projects  = var.claim_check_projects
  accounts = {
    deployers = var.deployers, launchers = var.launchers, mappers = var.subject_mappers, erasers = var.erasers,
    builders  = var.dataset_builders, managers = var.encoder_managers
  }
}

module "keys" {
  source    = "./keys"
  projects  = local.projects
  numbers   = local.numbers
  region    = var.region
  prefix    = var.prefix
  keys      = module.design.keys
  retention = module.design.retention
  secret    = module.design.names.secret
}

module "perimeter" {
  source  = "./perimeter"
  project = var.raw_project
  region  = var.region
  network = module.design.names.network
  cidr    = var.cidr
}

module "raw" {
  source        = "./raw"
  for_each      = module.design.streams
  project       = var.raw_project
  region        = var.region
  names         = merge(each.value, { claim_check_buckets = module.design.claim_checks.own[each.key] })
  worker        = local.worker_accounts[each.key]
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
  warehouse     = yamlencode(module.design.warehouse_file)
  image         = var.service_image
  attestor      = var.attestor
  network       = { network = module.perimeter.network, subnetwork = module.perimeter.subnetwork }
  key           = module.keys.keys.serving
  secret        = module.keys.secret
  config_bucket = google_storage_bucket.config.name
  heads_bucket  = module.design.names.heads_bucket
  log_bucket    = google_storage_bucket.usage_logs.name
  accounts      = local.services
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
