# The service files: the user's file, plus who may call whom. A service verifies Google ID tokens itself, in addition to
# Cloud Run.
locals {
  urls = { for role, service in local.services : role => "https://${service.name}-${var.raw_project_number}.${var.region}.run.app" }
  emails = {
    for role, service in local.services : role => "${service.account}@${var.raw_project}.iam.gserviceaccount.com"
  }
  service = try(yamldecode(file(var.service_file)), {})

  # A service file names a stream file as the bucket's folder; the name of the object has the hash of its content.
  stream_files = { for name, stream in local.streams : "streams/${name}.yaml" => try(stream.stream_file, "streams/${name}.yaml") }
  heads = { for name, head in try(local.service.heads, {}) : name => merge(
    head, { for field in ["stream"] : field => lookup(local.stream_files, head.stream, head.stream) if can(head.stream) }
  ) }

  callers = {
    encoder      = { (local.emails.orchestrator) = ["encode"] }
    classifier   = { (local.emails.orchestrator) = ["classify"] }
    orchestrator = { for account in var.callers : account => ["predict", "score"] }
  }
  service_files = { for role in keys(local.services) : role => yamlencode(merge(
    local.service,
    { for field in ["heads"] : field => local.heads if can(local.service.heads) },
    { access = { google = { audience = local.urls[role], accounts = local.callers[role] } } },
    { for name in ["classifier"] : "head_folder" => "/heads" if role == name },
    { for name in ["encoder", "classifier"] : name => { url = local.urls[name], identity = "google" } if role == "orchestrator" },
  )) }
}
