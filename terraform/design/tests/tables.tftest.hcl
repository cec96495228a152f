run "every_table_of_sql_is_created" {
  command = plan

  assert {
    condition     = toset([for table in values(output.tables) : table.dataset]) == setsubtract(keys(output.names.datasets), ["builds"])
    error_message = "Each dataset but that of builds must have tables, and no table may be in another dataset."
  }
  assert {
    condition     = output.tables["embedding_event_v1"].partition == "occurred_at" && output.tables["embedding_event_v1"].filter_required
    error_message = "Embedding events must be partitioned by occurred_at and require a filter."
  }
  assert {
    condition     = [for column in output.tables["subject_map_v1"].columns : column.tag if column.name == "customer_id"] == ["identifiers"]
    error_message = "Customer ids must have a policy tag."
  }
  assert {
    condition     = [for column in output.tables["embedding_event_v1"].columns : column.tag if column.name == "embedding"] == ["vectors"]
    error_message = "Vectors must have a policy tag, which builds copy to the tables of snapshots."
  }
  assert {
    condition     = !contains(keys(output.tables), "snapshot_v1")
    error_message = "The tables of snapshots are created by builds."
  }
}
