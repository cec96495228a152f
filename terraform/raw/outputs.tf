output "topic" {
  description = "Topic that producers publish to."
  value       = google_pubsub_topic.events.id
}

output "subscription" {
  description = "Subscription that the job reads."
  value       = google_pubsub_subscription.ingest.id
}

output "job_file" {
  description = "Address of the job file, for `rawless job`."
  value       = "gs://${google_storage_bucket_object.job_file.bucket}/${google_storage_bucket_object.job_file.name}"
}
