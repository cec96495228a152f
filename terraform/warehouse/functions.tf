# What readers ask. The bodies are sql/*/*.sql as our own renderer gives them (terraform/checks/functions.py).
resource "google_bigquery_routine" "of" {
  for_each     = toset([for file in fileset(path.module, "functions/*.sql.tftpl") : trimsuffix(basename(file), ".sql.tftpl")])
  project      = var.project
  dataset_id   = google_bigquery_dataset.of["events"].dataset_id
  routine_id   = each.value
  routine_type = "TABLE_VALUED_FUNCTION"
  language     = "SQL"
  definition_body = templatefile("${path.module}/functions/${each.value}.sql.tftpl", {
    for role, dataset in google_bigquery_dataset.of : role => "${var.project}.${dataset.dataset_id}"
  })

  arguments {
    name      = "start_at"
    data_type = jsonencode({ typeKind = "TIMESTAMP" })
  }
  arguments {
    name      = "end_at"
    data_type = jsonencode({ typeKind = "TIMESTAMP" })
  }
  depends_on = [google_bigquery_table.of]
}

# The function looks up who was erased; whoever asks it need not read the tombstones.
resource "google_bigquery_dataset_access" "embedding_event_reads_tombstones" {
  project    = var.project
  dataset_id = google_bigquery_dataset.of["audit"].dataset_id

  routine {
    project_id = var.project
    dataset_id = google_bigquery_routine.of["embedding_event"].dataset_id
    routine_id = google_bigquery_routine.of["embedding_event"].routine_id
  }
}

# And it may be asked by those who do not read the deliveries themselves.
resource "google_bigquery_dataset_access" "embedding_event_reads_deliveries" {
  project    = var.project
  dataset_id = google_bigquery_dataset.of["events"].dataset_id

  routine {
    project_id = var.project
    dataset_id = google_bigquery_routine.of["embedding_event"].dataset_id
    routine_id = google_bigquery_routine.of["embedding_event"].routine_id
  }
}
