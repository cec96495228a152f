# The stream's job file, which `rawless job` reads. Terraform launches no job: the provider reads the options of a job of
# Beam's Python SDK under other names than they have (numWorkers, maxNumWorkers, tempLocation), gets 0 for them, and
# would replace the job at every apply (terraform-provider-google#19909, #23797). The request is defined and tested in
# terraform/design.
resource "google_storage_bucket_object" "job_file" {
  bucket       = var.config_bucket
  name         = var.names.job_file
  content      = var.request
  content_type = "application/json"

  # Written last, so that whoever finds the file can launch the job.
  depends_on = [
    google_pubsub_subscription_iam_member.worker_reads_messages,
    google_pubsub_subscription_iam_member.worker_sees_subscription,
    google_project_iam_member.worker_works,
    google_secret_manager_secret_iam_member.worker_reads_pseudonym_key,
    google_kms_crypto_key_iam_member.worker_uses_key,
    google_service_account_iam_member.launcher_acts_as_worker,
    google_storage_bucket_iam_member.worker_writes_temp,
    google_storage_bucket_iam_member.worker_reads_staging,
    google_storage_bucket_iam_member.worker_reads_config,
    google_storage_bucket_iam_member.worker_reads_objects,
    google_artifact_registry_repository_iam_member.worker_pulls_image,
    google_storage_bucket_object.stream_file,
    var.prerequisites,
  ]
}
