output "names" {
  description = "Names of the resources that belong to no stream."
  value = {
    datasets      = local.datasets
    services      = local.services
    config_bucket = local.config_bucket
    heads_bucket  = local.heads_bucket
    log_bucket    = local.log_bucket
    network       = local.network
    secret        = local.secret
    repository    = local.repository
    job_warehouse = local.job_warehouse_file
  }
}

output "streams" {
  description = "Names of each stream's topic, subscription, buckets, account, files and job."
  value       = local.streams
}

output "jobs" {
  description = "The request that launches each stream's job, as a LaunchFlexTemplateRequest of Google's REST API."
  value       = local.jobs
}

output "retention" {
  description = "Retention periods."
  value       = local.retention
}

output "tables" {
  description = "The tables of sql/, by name."
  value       = local.tables
}

output "policy_tags" {
  description = "Names of the policy tags of columns."
  value       = keys(local.tagged_columns)
}

output "apis" {
  description = "APIs that each project needs."
  value       = local.apis
}

output "keys" {
  description = "The keys, each with its project and the services that use it."
  value       = local.keys
}

output "warehouse_file" {
  description = "The warehouse file that the job, the services and the commands read."
  value       = local.warehouse_file
}

output "service_files" {
  description = "Service files by role. Empty without a service file."
  value       = var.service_file == "" ? {} : local.service_files
}

output "urls" {
  description = "URLs of the services, by role."
  value       = local.urls
}

output "reasons" {
  description = "Rejection reasons, grouped by who has to act."
  value       = local.reasons
}

output "rejection_alerts" {
  description = "Alerts on rejections: codes, severity and query of each."
  value       = local.rejection_alerts
}
