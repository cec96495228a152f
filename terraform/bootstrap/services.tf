# The APIs of the three projects.
resource "google_project_service" "raw" {
  for_each           = toset(module.design.apis.raw)
  project            = var.raw_project
  service            = each.value
  disable_on_destroy = false
}

resource "google_project_service" "warehouse" {
  for_each           = toset(module.design.apis.warehouse)
  project            = var.warehouse_project
  service            = each.value
  disable_on_destroy = false
}

resource "google_project_service" "audit" {
  for_each           = toset(module.design.apis.audit)
  project            = var.audit_project
  service            = each.value
  disable_on_destroy = false
}
