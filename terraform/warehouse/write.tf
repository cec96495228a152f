# The service accounts of the production project may append rows and look up encoders, nothing else. With
# bigquery.jobs.create, appending would also permit UPDATE and DELETE, and content would fit into the text of a query: of
# these accounts only the classifier, which receives no content, may run queries.
resource "google_project_iam_custom_role" "appender" {
  project     = var.project
  role_id     = "${var.prefix}_appender"
  title       = "Rawless appender"
  description = "Appends rows to a table and reads its schema"
  permissions = ["bigquery.tables.get", "bigquery.tables.updateData"]
}

resource "google_project_iam_custom_role" "row_reader" {
  project     = var.project
  role_id     = "${var.prefix}_row_reader"
  title       = "Rawless row reader"
  description = "Reads the rows of a table"
  permissions = ["bigquery.tables.get", "bigquery.tables.getData"]
}

locals {
  embedding_event = google_bigquery_table.of["embedding_event_v1"]
  rejection       = google_bigquery_table.of["rejection_v1"]
  prediction      = google_bigquery_table.of["prediction_v1"]
  encoder         = google_bigquery_table.of["encoder_v1"]
  pointer         = google_bigquery_table.of["stream_pointer_v1"]
  gate            = ["leakage_audit_v1", "waiver_v1"]
}

resource "google_bigquery_table_iam_member" "worker_appends_embeddings" {
  for_each   = var.workers
  project    = var.project
  dataset_id = local.embedding_event.dataset_id
  table_id   = local.embedding_event.table_id
  role       = google_project_iam_custom_role.appender.name
  member     = each.value
}

resource "google_bigquery_table_iam_member" "worker_appends_rejections" {
  for_each   = var.workers
  project    = var.project
  dataset_id = local.rejection.dataset_id
  table_id   = local.rejection.table_id
  role       = google_project_iam_custom_role.appender.name
  member     = each.value
}

# For `rawless predict`, which writes predictions instead of embeddings.
resource "google_bigquery_table_iam_member" "worker_appends_predictions" {
  for_each   = var.workers
  project    = var.project
  dataset_id = local.prediction.dataset_id
  table_id   = local.prediction.table_id
  role       = google_project_iam_custom_role.appender.name
  member     = each.value
}

resource "google_bigquery_table_iam_member" "worker_reads_encoders" {
  for_each   = var.workers
  project    = var.project
  dataset_id = local.encoder.dataset_id
  table_id   = local.encoder.table_id
  role       = google_project_iam_custom_role.row_reader.name
  member     = each.value
}

# A job starts with no encoder that is retired for its stream. Services follow the live encoder of their streams.
resource "google_bigquery_table_iam_member" "worker_reads_pointers" {
  for_each   = var.workers
  project    = var.project
  dataset_id = local.pointer.dataset_id
  table_id   = local.pointer.table_id
  role       = google_project_iam_custom_role.row_reader.name
  member     = each.value
}

resource "google_bigquery_table_iam_member" "service_reads_pointers" {
  for_each   = var.services
  project    = var.project
  dataset_id = local.pointer.dataset_id
  table_id   = local.pointer.table_id
  role       = google_project_iam_custom_role.row_reader.name
  member     = each.value
}

# A job, and a service that logs embeddings, start only with encoders that the leakage gate of their stream lets pass.
resource "google_bigquery_table_iam_member" "worker_reads_gate" {
  for_each   = { for pair in setproduct(keys(var.workers), local.gate) : join("/", pair) => pair }
  project    = var.project
  dataset_id = google_bigquery_table.of[each.value[1]].dataset_id
  table_id   = google_bigquery_table.of[each.value[1]].table_id
  role       = google_project_iam_custom_role.row_reader.name
  member     = var.workers[each.value[0]]
}

resource "google_bigquery_table_iam_member" "orchestrator_reads_gate" {
  for_each   = toset(local.gate)
  project    = var.project
  dataset_id = google_bigquery_table.of[each.value].dataset_id
  table_id   = google_bigquery_table.of[each.value].table_id
  role       = google_project_iam_custom_role.row_reader.name
  member     = var.services.orchestrator
}

resource "google_bigquery_table_iam_member" "orchestrator_appends_embeddings" {
  project    = var.project
  dataset_id = local.embedding_event.dataset_id
  table_id   = local.embedding_event.table_id
  role       = google_project_iam_custom_role.appender.name
  member     = var.services.orchestrator
}

resource "google_bigquery_table_iam_member" "orchestrator_appends_predictions" {
  project    = var.project
  dataset_id = local.prediction.dataset_id
  table_id   = local.prediction.table_id
  role       = google_project_iam_custom_role.appender.name
  member     = var.services.orchestrator
}

resource "google_bigquery_table_iam_member" "service_reads_encoders" {
  for_each   = var.services
  project    = var.project
  dataset_id = local.encoder.dataset_id
  table_id   = local.encoder.table_id
  role       = google_project_iam_custom_role.row_reader.name
  member     = each.value
}

# It finds the snapshot of an index by a query.
resource "google_project_iam_member" "classifier_runs_queries" {
  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = var.services.classifier
}
