# Which account read or changed which table, for queries beside the tables themselves. A sink cannot redact fields, so it
# selects by the kind of record: these two name tables, columns and jobs. Names of objects and texts of queries and errors
# are in records of other kinds, which only the locked bucket has.
resource "google_logging_project_sink" "table_access" {
  project                = var.projects.warehouse
  name                   = "${var.prefix}-table-access"
  destination            = "bigquery.googleapis.com/projects/${var.projects.warehouse}/datasets/${var.dataset}"
  filter                 = "logName:\"cloudaudit.googleapis.com\" resource.type=\"bigquery_dataset\" (protoPayload.metadata.tableDataRead:* OR protoPayload.metadata.tableDataChange:*) NOT protoPayload.status.message:*"
  unique_writer_identity = true

  bigquery_options {
    use_partitioned_tables = true
  }
}

resource "google_bigquery_dataset_access" "sink_writes_table_access" {
  project       = var.projects.warehouse
  dataset_id    = var.dataset
  role          = "WRITER"
  user_by_email = trimprefix(google_logging_project_sink.table_access.writer_identity, "serviceAccount:")
}
