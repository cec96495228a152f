# Counts of log lines. They have no labels, so nothing of a line's text leaves the log.
locals {
  # An address that ends otherwise than those of service accounts. A filter knows no lookahead, and NOT would be false for a
  # chain of delegations in which one of several is a service account.
  account = "gserviceaccount.com"
  person = join("|", [for place in range(length(local.account)) :
    "[^${substr(local.account, place, 1)}]${replace(substr(local.account, place + 1, -1), ".", "[.]")}$"
  ])
  caller = "protoPayload.authenticationInfo"
  # In person, or as a service account that they impersonate: asking for its token is a call too.
  by_person = join(" OR ", [
    "NOT ${local.caller}.principalEmail=~\"gserviceaccount[.]com$\"",
    "${local.caller}.serviceAccountDelegationInfo.firstPartyPrincipal.principalEmail=~\"${local.person}\"",
    "${local.caller}.serviceAccountDelegationInfo.thirdPartyPrincipal:*",
  ])
  raw_services = join(" OR ", [for service in ["pubsub", "storage", "secretmanager", "iamcredentials"] : "\"${service}.googleapis.com\""])

  audited = "logName:\"cloudaudit.googleapis.com\""
  filters = {
    # The message of rawless/warehouse/append.py.
    bigquery_away = "resource.type=\"dataflow_step\" \"The warehouse accepted no rows for\""
    perimeter     = "${local.audited} protoPayload.metadata.\"@type\"=\"type.googleapis.com/google.cloud.audit.VpcServiceControlAuditMetadata\" NOT protoPayload.metadata.dryRun=true"
    human_on_raw  = "logName:\"cloudaudit.googleapis.com%2Fdata_access\" protoPayload.serviceName=(${local.raw_services}) (${local.by_person})"
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
