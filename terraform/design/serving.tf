# The services' files: what the user wrote, and who may call whom. A service checks Google ID tokens itself, besides
# Cloud Run.
locals {
  urls = { for role, service in local.services : role => "https://${service.name}-${var.raw_project_number}.${var.region}.run.app" }
  emails = {
    for role, service in local.services : role => "${service.account}@${var.raw_project}.iam.gserviceaccount.com"
  }
  service = try(yamldecode(file(var.service_file)), {})

  callers = {
    encoder      = { (local.emails.orchestrator) = ["encode"] }
    classifier   = { (local.emails.orchestrator) = ["classify"] }
    orchestrator = { for account in var.callers : account => ["predict", "score"] }
  }
  service_files = { for role in keys(local.services) : role => yamlencode(merge(
    local.service,
    { access = { google = { audience = local.urls[role], accounts = local.callers[role] } } },
    { for each in ["classifier"] : "head_folder" => "/heads" if role == each },
    { for each in ["encoder", "classifier"] : each => { url = local.urls[each], identity = "google" } if role == "orchestrator" },
  )) }
}
