# The accounts that jobs and services run as. A perimeter and a denial can only name accounts that exist.
resource "google_service_account" "worker" {
  for_each     = module.design.streams
  project      = var.raw_project
  account_id   = each.value.worker_account
  display_name = "Encodes ${each.key}"
  depends_on   = [google_project_service.raw]
}

resource "google_service_account" "service" {
  for_each     = module.design.names.services
  project      = var.raw_project
  account_id   = each.value.account
  display_name = "Rawless ${each.key} service"
  depends_on   = [google_project_service.raw]
}

# Google's account that writes the records of a project's sinks.
resource "google_project_service_identity" "logging" {
  provider   = google-beta
  for_each   = { raw = var.raw_project, warehouse = var.warehouse_project }
  project    = each.value
  service    = "logging.googleapis.com"
  depends_on = [google_project_service.raw, google_project_service.warehouse]
}
