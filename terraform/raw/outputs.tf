output "topic" {
  description = "Where producers publish."
  value       = google_pubsub_topic.events.id
}

output "subscription" {
  description = "What the job reads."
  value       = google_pubsub_subscription.ingest.id
}

output "job" {
  description = "Id of the job."
  value       = google_dataflow_flex_template_job.ingest.job_id
}
