output "urls" {
  description = "URLs of the services, by role."
  value       = { for role, service in google_cloud_run_v2_service.of : role => service.uri }
}
