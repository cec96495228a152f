output "warehouse_file" {
  description = "The warehouse file, for `--warehouse FILE`."
  value       = yamlencode(module.design.warehouse_file)
}

output "topics" {
  description = "The topics that producers publish to, by stream."
  value       = { for name, stream in module.raw : name => stream.topic }
}

output "subscriptions" {
  description = "The subscriptions that the jobs read, by stream."
  value       = { for name, stream in module.raw : name => stream.subscription }
}

output "job_files" {
  description = "Addresses of the job files, by stream, for `rawless job`."
  value       = { for name, stream in module.raw : name => stream.job_file }
}

output "pseudonym_secret" {
  description = "Id of the secret with the pseudonym key. Its value is added once, by hand (docs/runbooks.md#first-deploy)."
  value       = module.keys.secret
}

output "config_bucket" {
  description = "The bucket that must contain the Flex Template: templates/PREFIX.json."
  value       = google_storage_bucket.config.name
}

output "urls" {
  description = "URLs of the services, by role."
  value       = module.serving.urls
}
