output "log_writers" {
  description = "Accounts that deliver the records, as IAM members."
  value = toset([
    google_logging_project_sink.records["raw"].writer_identity, google_logging_project_sink.records["warehouse"].writer_identity,
    google_logging_project_sink.table_access.writer_identity,
  ])
}
