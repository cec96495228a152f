# All names are defined here, so that resources, grants and job options cannot disagree.
locals {
  dashed = { for name in keys(var.streams) : name => replace(name, "_", "-") }

  streams = { for name in keys(var.streams) : name => {
    stream         = name
    topic          = "${var.prefix}-${local.dashed[name]}"
    subscription   = "${var.prefix}-${local.dashed[name]}-ingest"
    schema         = "${var.prefix}-${local.dashed[name]}"
    temp_bucket    = "${var.raw_project}-${var.prefix}-${local.dashed[name]}-temp"
    staging_bucket = "${var.raw_project}-${var.prefix}-${local.dashed[name]}-code"
    worker_account = "${var.prefix}-w-${local.dashed[name]}"
    job            = "${var.prefix}-${local.dashed[name]}"
    job_file       = "jobs/${name}.json"
    file           = var.streams[name].file
    # A file that a job reads when it starts has its content's hash in its name: an edit changes the job file too, so
    # that `rawless job status` says that the job is to be updated.
    stream_file = "streams/${name}-${substr(try(filesha256(var.streams[name].file), ""), 0, 12)}.yaml"
    contract = jsonencode({
      type = "record"
      name = name
      doc  = "The attributes of a message of ${name}. Its data is the payload, or empty if uri names the object."
      fields = concat(
        [for field in ["event_id", "occurred_at", "stream"] : { name = field, type = "string" }],
        [for field in concat(["subject_id", "uri"], keys(try(yamldecode(file(var.streams[name].file)).attributes, {}))) :
        { name = field, type = "string", default = "" }],
      )
    })
    # The buckets whose objects its events may name.
    claim_check_buckets = distinct([
      for prefix in try(yamldecode(file(var.streams[name].file)).uri_prefixes, []) : regex("^gs://([^/]+)/", prefix)[0]
    ])
  } }

  # BigQuery dataset ids cannot contain hyphens.
  datasets = { for role in ["events", "snapshots", "builds", "subjects", "audit"] : role => "${var.prefix}_${role}" }

  services = { for role in ["encoder", "classifier", "orchestrator"] : role => {
    name    = "${var.prefix}-${role}"
    account = "${var.prefix}-${role}"
  } }

  config_bucket = "${var.raw_project}-${var.prefix}-config"
  heads_bucket  = "${var.raw_project}-${var.prefix}-heads"
  log_bucket    = "${var.raw_project}-${var.prefix}-usage-logs"
  network       = "${var.prefix}-egress-denied"
  secret        = "${var.prefix}-pseudonym-key"
  secret_name   = "projects/${var.raw_project}/secrets/${local.secret}/versions/${var.pseudonym_key_version}"

  repository = {
    location = split("-docker.pkg.dev/", var.image)[0]
    project  = split("/", var.image)[1]
    name     = split("/", var.image)[2]
  }

  # The file for `--warehouse FILE` (rawless/warehouse/config.py).
  warehouse_file = merge(local.datasets, {
    project          = var.warehouse_project
    location         = var.region
    pseudonym_secret = local.secret_name
    worker_image     = var.image
  })
  # The jobs' own copy. A job refuses workers of another image than its warehouse file names, so a job file that is older
  # than the last release could not be launched again with the newest warehouse file.
  job_warehouse_file = "warehouse-${substr(sha256(yamlencode(local.warehouse_file)), 0, 12)}.yaml"
}
