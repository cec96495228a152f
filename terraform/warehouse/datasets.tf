# Five datasets, each with its own readers.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

resource "google_bigquery_dataset" "of" {
  for_each              = var.datasets
  project               = var.project
  dataset_id            = each.value
  location              = var.region
  description           = "Rawless: ${each.key}"
  max_time_travel_hours = tostring(var.time_travel_hours)

  default_encryption_configuration {
    kms_key_name = var.key
  }
  # Without an explicit entry, viewers and editors of the project could read every dataset.
  access {
    role           = "OWNER"
    group_by_email = var.owners
  }

  lifecycle {
    ignore_changes  = [access] # the other entries are separate resources, in read.tf and functions.tf
    prevent_destroy = true
  }
}

resource "google_bigquery_table" "of" {
  for_each                 = var.tables
  project                  = var.project
  dataset_id               = google_bigquery_dataset.of[each.value.dataset].dataset_id
  table_id                 = each.key
  description              = each.value.description
  clustering               = each.value.cluster
  require_partition_filter = each.value.partition == null ? null : each.value.filter_required
  deletion_protection      = true
  schema                   = local.table_schemas[each.key]

  dynamic "time_partitioning" {
    for_each = each.value.partition == null ? [] : [each.value.partition]
    content {
      type          = "DAY"
      field         = time_partitioning.value
      expiration_ms = each.value.days == null ? null : each.value.days * 24 * 60 * 60 * 1000
    }
  }
  encryption_configuration {
    kms_key_name = var.key
  }
}

locals {
  table_schemas = { for name, table in var.tables : name => jsonencode([for column in table.columns : {
    for key, value in {
      name        = column.name
      type        = column.type
      mode        = column.mode
      description = column.description
      fields      = length(column.fields) == 0 ? null : column.fields
      policyTags  = column.tag == null ? null : { names = [google_data_catalog_policy_tag.of[column.tag].name] }
    } : key => value if value != null
  }]) }
}
