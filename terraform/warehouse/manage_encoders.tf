# ML engineering compares, adopts and retires encoders: it reads events with their vectors, moves the pointers of streams
# and deletes the rows of an encoder that nothing needs. Like whoever appends, it deletes no table. It has no pseudonym
# key, so it cannot say whose an event is.
locals {
  managed      = setproduct(var.encoder_managers, ["embedding_event_v1", "encoder_v1", "stream_pointer_v1"])
  read_by_them = setproduct(var.encoder_managers, ["events", "snapshots"])
  judged       = setproduct(var.encoder_managers, concat(local.gate, ["tombstone_v1", "event_tombstone_v1"]))
  seen         = setproduct(var.encoder_managers, ["identifiers", "vectors"])
}

resource "google_bigquery_dataset_access" "manager_reads" {
  for_each      = { for pair in local.read_by_them : join("/", pair) => pair }
  project       = var.project
  dataset_id    = google_bigquery_dataset.of[each.value[1]].dataset_id
  role          = "READER"
  user_by_email = each.value[0]
}

resource "google_bigquery_table_iam_member" "manager_changes_rows" {
  for_each   = { for pair in local.managed : join("/", pair) => pair }
  project    = var.project
  dataset_id = google_bigquery_dataset.of["events"].dataset_id
  table_id   = google_bigquery_table.of[each.value[1]].table_id
  role       = google_project_iam_custom_role.appender.name
  member     = "serviceAccount:${each.value[0]}"
}

resource "google_bigquery_table_iam_member" "manager_reads_gate_and_tombstones" {
  for_each   = { for pair in local.judged : join("/", pair) => pair }
  project    = var.project
  dataset_id = google_bigquery_table.of[each.value[1]].dataset_id
  table_id   = google_bigquery_table.of[each.value[1]].table_id
  role       = google_project_iam_custom_role.row_reader.name
  member     = "serviceAccount:${each.value[0]}"
}

resource "google_data_catalog_policy_tag_iam_member" "manager_sees" {
  for_each   = { for pair in local.seen : join("/", pair) => pair }
  policy_tag = google_data_catalog_policy_tag.of[each.value[1]].name
  role       = "roles/datacatalog.categoryFineGrainedReader"
  member     = "serviceAccount:${each.value[0]}"
}
