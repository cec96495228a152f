output "datasets" {
  description = "Ids of the datasets, by role."
  value       = { for role, dataset in google_bigquery_dataset.of : role => dataset.dataset_id }
}

output "worker_grants" {
  description = "Ids of the jobs' grants in the warehouse. A job that starts before they exist fails."
  value = concat(
    values(google_bigquery_table_iam_member.worker_appends_embeddings)[*].id,
    values(google_bigquery_table_iam_member.worker_appends_rejections)[*].id,
    values(google_bigquery_table_iam_member.worker_reads_encoders)[*].id,
    values(google_bigquery_table_iam_member.worker_reads_pointers)[*].id,
  )
}
