# The tables of sql/*/schema.yaml, the files that the writers and the local stack read too. Tables that exist once per
# snapshot are created by builds.
locals {
  sql     = "${path.module}/../../sql"
  schemas = { for file in fileset(local.sql, "*_v1/schema.yaml") : dirname(file) => yamldecode(file("${local.sql}/${file}")) }

  # Columns that only some readers of a dataset can see, by policy tag.
  tagged_columns = {
    vectors     = ["embedding"] # builds put the same tag on the vectors of snapshots
    identifiers = ["customer_id"]
  }

  tables = { for name, table in local.schemas : name => {
    dataset         = table.dataset
    description     = table.description
    cluster         = table.cluster
    partition       = try(table.partition.field, null)
    filter_required = try(table.partition.filter_required, false)
    days            = try(table.partition.days, null)
    columns = [for column in table.columns : {
      name        = column.name
      type        = column.type
      mode        = column.mode
      description = column.description
      tag         = try([for tag, names in local.tagged_columns : tag if contains(names, column.name)][0], null)
      fields = [for field in try(column.fields, []) : {
        name        = field.name
        type        = field.type
        mode        = field.mode
        description = field.description
      }]
    }]
  } if !try(table.per_snapshot, false) }
}
