# Who may read what. google_bigquery_dataset_iam_* is not used, because it would remove the authorized functions.
resource "google_bigquery_dataset_access" "builder_reads_events" {
  for_each      = var.dataset_builders
  project       = var.project
  dataset_id    = google_bigquery_dataset.of["events"].dataset_id
  role          = "READER"
  user_by_email = each.value
}

resource "google_bigquery_dataset_access" "builder_writes_snapshots" {
  for_each      = var.dataset_builders
  project       = var.project
  dataset_id    = google_bigquery_dataset.of["snapshots"].dataset_id
  role          = "WRITER"
  user_by_email = each.value
}

# Working tables of builds, and copies of business tables: nobody else reads them.
resource "google_bigquery_dataset_access" "builder_writes_builds" {
  for_each      = var.dataset_builders
  project       = var.project
  dataset_id    = google_bigquery_dataset.of["builds"].dataset_id
  role          = "WRITER"
  user_by_email = each.value
}

resource "google_bigquery_dataset_access" "builder_reads_subject_map" {
  for_each      = var.dataset_builders
  project       = var.project
  dataset_id    = google_bigquery_dataset.of["subjects"].dataset_id
  role          = "READER"
  user_by_email = each.value
}

# `rawless subjects sync` also creates two tables there, which it deletes. Whoever owns the table of customers grants the mapper to read it.
resource "google_bigquery_dataset_access" "mapper_writes_subject_map" {
  for_each      = var.subject_mappers
  project       = var.project
  dataset_id    = google_bigquery_dataset.of["subjects"].dataset_id
  role          = "WRITER"
  user_by_email = each.value
}

# A build excludes erased persons and events by a separate statement.
resource "google_bigquery_table_iam_member" "builder_reads_tombstones" {
  for_each   = { for pair in setproduct(var.dataset_builders, ["tombstone_v1", "event_tombstone_v1"]) : join("/", pair) => pair }
  project    = var.project
  dataset_id = google_bigquery_dataset.of["audit"].dataset_id
  table_id   = google_bigquery_table.of[each.value[1]].table_id
  role       = "roles/bigquery.dataViewer"
  member     = "serviceAccount:${each.value[0]}"
}

# `rawless drift` reads vectors, so whoever may read events measures it; its results are sums.
resource "google_bigquery_table_iam_member" "builder_reads_drift" {
  for_each   = var.dataset_builders
  project    = var.project
  dataset_id = google_bigquery_table.of["drift_v1"].dataset_id
  table_id   = google_bigquery_table.of["drift_v1"].table_id
  role       = google_project_iam_custom_role.row_reader.name
  member     = "serviceAccount:${each.value}"
}

resource "google_bigquery_table_iam_member" "builder_appends_drift" {
  for_each   = var.dataset_builders
  project    = var.project
  dataset_id = google_bigquery_table.of["drift_v1"].dataset_id
  table_id   = google_bigquery_table.of["drift_v1"].table_id
  role       = google_project_iam_custom_role.appender.name
  member     = "serviceAccount:${each.value}"
}

resource "google_bigquery_dataset_access" "scientist_reads_snapshots" {
  project        = var.project
  dataset_id     = google_bigquery_dataset.of["snapshots"].dataset_id
  role           = "READER"
  group_by_email = var.scientists
}

# Each snapshot is a table of its own, which its build creates.
resource "google_bigquery_dataset_access" "classifier_reads_snapshots" {
  project       = var.project
  dataset_id    = google_bigquery_dataset.of["snapshots"].dataset_id
  role          = google_project_iam_custom_role.row_reader.name
  user_by_email = trimprefix(var.services.classifier, "serviceAccount:")
}

resource "google_bigquery_dataset_access" "auditor_reads_audit" {
  project        = var.project
  dataset_id     = google_bigquery_dataset.of["audit"].dataset_id
  role           = "READER"
  group_by_email = var.auditors
}

locals {
  # Readers run queries and read sessions; neither role grants access to rows.
  readers = merge(
    { for email in var.dataset_builders : "builder/${email}" => "serviceAccount:${email}" },
    { for email in var.encoder_managers : "manager/${email}" => "serviceAccount:${email}" },
    { scientist = "group:${var.scientists}", auditor = "group:${var.auditors}" },
  )
}

resource "google_project_iam_member" "mapper_runs_queries" {
  for_each = var.subject_mappers
  project  = var.project
  role     = "roles/bigquery.jobUser"
  member   = "serviceAccount:${each.value}"
}

resource "google_project_iam_member" "reader_runs_queries" {
  for_each = local.readers
  project  = var.project
  role     = "roles/bigquery.jobUser"
  member   = each.value
}

resource "google_project_iam_member" "reader_opens_read_sessions" {
  for_each = merge(local.readers, { classifier = var.services.classifier })
  project  = var.project
  role     = "roles/bigquery.readSessionUser"
  member   = each.value
}
