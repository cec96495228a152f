# Roles in the production project that belong to no stream. No person has one; bootstrap/break_glass.tf is the exception.
# What roles/dataflow.worker permits without objects, which that role could read and write in every bucket. Jobs have no
# policies of their own, so this is granted on the project; what a stream stores is granted on its own resources (raw/).
resource "google_project_iam_custom_role" "worker" {
  project     = var.raw_project
  role_id     = "${var.prefix}_worker"
  title       = "Rawless worker"
  description = "Takes work from Dataflow, and writes logs and metrics"
  permissions = [
    "autoscaling.sites.readRecommendations", "autoscaling.sites.writeMetrics", "autoscaling.sites.writeState",
    "compute.instanceGroupManagers.update", "compute.instances.delete", "compute.instances.setDiskAutoDelete",
    "dataflow.jobs.get", "dataflow.shuffle.read", "dataflow.shuffle.write",
    "dataflow.streamingWorkItems.ImportState", "dataflow.streamingWorkItems.commitWork",
    "dataflow.streamingWorkItems.getData", "dataflow.streamingWorkItems.getWork",
    "dataflow.streamingWorkItems.getWorkerMetadata",
    "dataflow.workItems.lease", "dataflow.workItems.sendMessage", "dataflow.workItems.update",
    "logging.logEntries.create", "monitoring.timeSeries.create",
  ]
}

# Dataflow looks up its bucket before it uses it.
resource "google_project_iam_custom_role" "temp_user" {
  project     = var.raw_project
  role_id     = "${var.prefix}_temp_user"
  title       = "Rawless user of a temp bucket"
  description = "Reads, writes and deletes the objects of a bucket"
  permissions = [
    "storage.buckets.get", "storage.objects.create", "storage.objects.delete", "storage.objects.get",
    "storage.objects.list", "storage.objects.update",
  ]
}

# It may also create objects, but replace none: the launcher of a Flex Template stages the job as the worker's account.
resource "google_project_iam_custom_role" "staging_reader" {
  project     = var.raw_project
  role_id     = "${var.prefix}_staging_reader"
  title       = "Rawless reader of a staging bucket"
  description = "Reads the objects of a bucket and creates new ones"
  permissions = ["storage.buckets.get", "storage.objects.create", "storage.objects.get", "storage.objects.list"]
}

# What `rawless job` needs of roles/dataflow.developer, whose snapshots would copy a job's state, content included, and
# whose builds would make images.
resource "google_project_iam_custom_role" "launcher" {
  project     = var.raw_project
  role_id     = "${var.prefix}_launcher"
  title       = "Rawless launcher"
  description = "Launches, updates, drains and watches jobs"
  permissions = [
    "compute.machineTypes.get", "compute.projects.get", "compute.regions.list", "compute.zones.list",
    "dataflow.jobs.cancel", "dataflow.jobs.create", "dataflow.jobs.get", "dataflow.jobs.list",
    "dataflow.jobs.updateContents", "dataflow.messages.list", "dataflow.metrics.get", "resourcemanager.projects.get",
  ]
}

resource "google_project_iam_member" "launcher_launches" {
  for_each = local.launchers
  project  = var.raw_project
  role     = google_project_iam_custom_role.launcher.name
  member   = each.value
}

# Job files and the template.
resource "google_storage_bucket_iam_member" "launcher_reads_config" {
  for_each = local.launchers
  bucket   = google_storage_bucket.config.name
  role     = "roles/storage.objectViewer"
  member   = each.value
}

# The pseudonyms of a person who is in no subject map are computed from the id.
resource "google_secret_manager_secret_iam_member" "eraser_reads_pseudonym_key" {
  for_each  = local.erasers
  secret_id = module.keys.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value
}

# The pseudonyms of the subject map are computed outside of BigQuery.
resource "google_secret_manager_secret_iam_member" "mapper_reads_pseudonym_key" {
  for_each  = local.mappers
  secret_id = module.keys.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value
}

# Who replaces the pseudonym key adds a version, and can read none.
resource "google_secret_manager_secret_iam_member" "custodian_adds_pseudonym_key" {
  secret_id = module.keys.secret
  role      = "roles/secretmanager.secretVersionAdder"
  member    = "group:${var.groups.custodians}"
}
