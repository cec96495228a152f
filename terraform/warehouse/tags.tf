# Columns that need an additional role to read: embeddings and plain customer ids.
resource "google_data_catalog_taxonomy" "confidential" {
  project                = var.project
  region                 = var.region
  display_name           = "${var.prefix} confidential columns"
  activated_policy_types = ["FINE_GRAINED_ACCESS_CONTROL"]
}

resource "google_data_catalog_policy_tag" "of" {
  for_each     = var.policy_tags
  taxonomy     = google_data_catalog_taxonomy.confidential.id
  display_name = each.value
}

resource "google_data_catalog_policy_tag_iam_member" "builder_sees_vectors" {
  for_each   = var.dataset_builders
  policy_tag = google_data_catalog_policy_tag.of["vectors"].name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = "serviceAccount:${each.value}"
}

resource "google_data_catalog_policy_tag_iam_member" "builder_sees_identifiers" {
  for_each   = var.dataset_builders
  policy_tag = google_data_catalog_policy_tag.of["identifiers"].name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = "serviceAccount:${each.value}"
}

resource "google_data_catalog_policy_tag_iam_member" "mapper_sees_identifiers" {
  for_each   = var.subject_mappers
  policy_tag = google_data_catalog_policy_tag.of["identifiers"].name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = "serviceAccount:${each.value}"
}

resource "google_data_catalog_policy_tag_iam_member" "scientist_sees_vectors" {
  policy_tag = google_data_catalog_policy_tag.of["vectors"].name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = "group:${var.scientists}"
}

resource "google_data_catalog_policy_tag_iam_member" "classifier_sees_vectors" {
  policy_tag = google_data_catalog_policy_tag.of["vectors"].name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = var.services.classifier
}
