# The table functions of sql/*/*.sql. terraform/checks/functions.py renders their bodies.
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

# The functions read the tombstones, so that their callers do not need access to them.
resource "google_bigquery_dataset_access" "rejection_reads_tombstones" {
  project    = var.project
  dataset_id = google_bigquery_dataset.of["audit"].dataset_id

  routine {
    project_id = var.project
    dataset_id = google_bigquery_routine.of["rejection"].dataset_id
    routine_id = google_bigquery_routine.of["rejection"].routine_id
  }
}

resource "google_bigquery_dataset_access" "prediction_reads_tombstones" {
  project    = var.project
  dataset_id = google_bigquery_dataset.of["audit"].dataset_id

  routine {
    project_id = var.project
    dataset_id = google_bigquery_routine.of["prediction"].dataset_id
    routine_id = google_bigquery_routine.of["prediction"].routine_id
  }
}

resource "google_bigquery_dataset_access" "embedding_event_reads_tombstones" {
  project    = var.project
  dataset_id = google_bigquery_dataset.of["audit"].dataset_id

  routine {
    project_id = var.project
    dataset_id = google_bigquery_routine.of["embedding_event"].dataset_id
    routine_id = google_bigquery_routine.of["embedding_event"].routine_id
  }
}

# The function reads the deliveries, so that its callers do not need access to them.
resource "google_bigquery_dataset_access" "embedding_event_reads_deliveries" {
  project    = var.project
  dataset_id = google_bigquery_dataset.of["events"].dataset_id

  routine {
    project_id = var.project
    dataset_id = google_bigquery_routine.of["embedding_event"].dataset_id
    routine_id = google_bigquery_routine.of["embedding_event"].routine_id
  }
}
