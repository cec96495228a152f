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

# A build creates the table of its snapshot, whose vectors get the tag of the vectors of events. To set a tag, it needs
# a permission on the table, which WRITER does not contain, and one to see the tag's taxonomy.
resource "google_project_iam_custom_role" "tagger" {
  project     = var.project
  role_id     = "${var.prefix}_tagger"
  title       = "Rawless tagger"
  description = "Sets policy tags of columns"
  permissions = ["bigquery.tables.setCategory"]
}

resource "google_bigquery_dataset_access" "builder_tags_vectors" {
  for_each      = var.dataset_builders
  project       = var.project
  dataset_id    = google_bigquery_dataset.of["snapshots"].dataset_id
  role          = google_project_iam_custom_role.tagger.name
  user_by_email = each.value
}

resource "google_data_catalog_taxonomy_iam_member" "builder_sees_taxonomy" {
  for_each = var.dataset_builders
  taxonomy = google_data_catalog_taxonomy.confidential.name
  role     = "roles/datacatalog.viewer"
  member   = "serviceAccount:${each.value}"
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
