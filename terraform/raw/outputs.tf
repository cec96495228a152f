output "topic" {
  description = "Topic that producers publish to."
  value       = google_pubsub_topic.events.id
}

output "subscription" {
  description = "Subscription that the job reads."
  value       = google_pubsub_subscription.ingest.id
}

output "job" {
  description = "Id of the job."
  value       = google_dataflow_flex_template_job.ingest.job_id
}
