# `rawless erase`, which the privacy office runs: it finds and deletes rows, and creates and deletes its lists and the
# working tables of builds that it stops. It deletes no table of events or snapshots, and sees no vector: BigQuery asks
# for a policy tag only where a statement reads the column.
resource "google_project_iam_custom_role" "eraser" {
  project     = var.project
  role_id     = "${var.prefix}_eraser"
  title       = "Rawless eraser"
  description = "Finds and deletes rows of the tables of a dataset"
  permissions = [
    "bigquery.datasets.get", "bigquery.tables.get", "bigquery.tables.getData", "bigquery.tables.list",
    "bigquery.tables.updateData",
  ]
}

locals {
  erased              = setproduct(var.erasers, ["events", "snapshots"])
  emptied             = setproduct(var.erasers, ["builds", "subjects"])
  records_of_erasures = setproduct(var.erasers, ["tombstone_v1", "event_tombstone_v1", "erasure_v1"])
}

resource "google_bigquery_dataset_access" "eraser_deletes_rows" {
  for_each      = { for pair in local.erased : join("/", pair) => pair }
  project       = var.project
  dataset_id    = google_bigquery_dataset.of[each.value[1]].dataset_id
  role          = google_project_iam_custom_role.eraser.name
  user_by_email = each.value[0]
}

resource "google_bigquery_dataset_access" "eraser_writes_lists" {
  for_each      = { for pair in local.emptied : join("/", pair) => pair }
  project       = var.project
  dataset_id    = google_bigquery_dataset.of[each.value[1]].dataset_id
  role          = "WRITER"
  user_by_email = each.value[0]
}

resource "google_bigquery_table_iam_member" "eraser_writes_tombstones" {
  for_each   = { for pair in local.records_of_erasures : join("/", pair) => pair }
  project    = var.project
  dataset_id = google_bigquery_dataset.of["audit"].dataset_id
  table_id   = google_bigquery_table.of[each.value[1]].table_id
  role       = google_project_iam_custom_role.eraser.name
  member     = "serviceAccount:${each.value[0]}"
}

resource "google_project_iam_member" "eraser_runs_queries" {
  for_each = var.erasers
  project  = var.project
  role     = "roles/bigquery.jobUser"
  member   = "serviceAccount:${each.value}"
}

resource "google_data_catalog_policy_tag_iam_member" "eraser_sees_identifiers" {
  for_each   = var.erasers
  policy_tag = google_data_catalog_policy_tag.of["identifiers"].name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = "serviceAccount:${each.value}"
}
