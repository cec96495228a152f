# Counts of log lines. They have no labels, so nothing of a line's text leaves the log.
locals {
  audited = "logName:\"cloudaudit.googleapis.com\""
  filters = {
    # The message of rawless/warehouse/append.py.
    bigquery_away = "resource.type=\"dataflow_step\" \"The warehouse accepted no rows for\""
    perimeter     = "${local.audited} protoPayload.metadata.\"@type\"=\"type.googleapis.com/google.cloud.audit.VpcServiceControlAuditMetadata\""
    human_on_raw  = "logName:\"cloudaudit.googleapis.com%2Fdata_access\" protoPayload.serviceName=(\"pubsub.googleapis.com\" OR \"storage.googleapis.com\" OR \"secretmanager.googleapis.com\") NOT protoPayload.authenticationInfo.principalEmail=~\"gserviceaccount[.]com$\""
    key_destroyed = "${local.audited} protoPayload.methodName=~\"(DestroyCryptoKeyVersion|DestroySecretVersion|DeleteSecret)$\""
  }
}

resource "google_logging_metric" "log_lines" {
  for_each = local.filters
  project  = var.projects.raw
  name     = "${var.prefix}/${each.key}"
  filter   = each.value

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}
