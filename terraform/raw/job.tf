# The stream's job. Its options are defined and tested in terraform/design.
resource "google_dataflow_flex_template_job" "ingest" {
  provider                = google-beta
  project                 = var.project
  region                  = var.region
  container_spec_gcs_path = var.template

  name                    = var.job.name
  sdk_container_image     = var.job.sdk_container_image
  machine_type            = var.job.machine_type
  num_workers             = var.job.num_workers
  max_workers             = var.job.max_workers
  autoscaling_algorithm   = var.job.autoscaling_algorithm
  enable_streaming_engine = var.job.enable_streaming_engine
  ip_configuration        = var.job.ip_configuration
  on_delete               = var.job.on_delete
  additional_experiments  = var.job.additional_experiments
  temp_location           = var.job.temp_location
  staging_location        = var.job.staging_location
  labels                  = var.job.labels
  parameters              = var.job.parameters

  service_account_email = var.worker.email
  subnetwork            = var.subnetwork
  kms_key_name          = var.key

  # A change that Dataflow cannot apply in place replaces the job. With a new `release`, and thus a new name, the new job
  # reads beside the old one until the old one is drained; readers see each event once.
  lifecycle {
    create_before_destroy = true
  }
  depends_on = [
    google_pubsub_subscription_iam_member.worker_reads_messages,
    google_pubsub_subscription_iam_member.worker_sees_subscription,
    google_project_iam_member.worker_works,
    google_secret_manager_secret_iam_member.worker_reads_pseudonym_key,
    google_kms_crypto_key_iam_member.worker_uses_key,
    google_storage_bucket_iam_member.worker_writes_temp,
    google_storage_bucket_iam_member.worker_reads_staging,
    google_storage_bucket_iam_member.worker_reads_config,
    google_artifact_registry_repository_iam_member.worker_pulls_image,
    google_storage_bucket_object.stream_file,
    var.prerequisites,
  ]
}
