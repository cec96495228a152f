run "every_table_of_sql_is_made" {
  command = plan

  assert {
    condition     = toset([for table in values(output.tables) : table.dataset]) == toset(keys(output.names.datasets))
    error_message = "Each dataset has tables, and no table is in another."
  }
  assert {
    condition     = output.tables["embedding_event_v1"].partition == "occurred_at" && output.tables["embedding_event_v1"].filter_required
    error_message = "Embedding events are partitioned by day of occurred_at, filter required."
  }
  assert {
    condition     = [for column in output.tables["subject_map_v1"].columns : column.tag if column.name == "customer_id"] == ["identifiers"]
    error_message = "A customer's id carries a policy tag."
  }
}
