output "accounts" {
  description = "Service accounts of the services by role, as IAM members."
  value       = { for role, account in google_service_account.of : role => account.member }
}

output "urls" {
  description = "URLs of the services, by role."
  value       = { for role, service in google_cloud_run_v2_service.of : role => service.uri }
}
