output "warehouse_file" {
  description = "The warehouse file, for `--warehouse FILE`."
  value       = yamlencode(module.design.warehouse_file)
}

output "topics" {
  description = "Where producers publish, by stream."
  value       = { for name, stream in module.raw : name => stream.topic }
}

output "subscriptions" {
  description = "What each stream's job reads."
  value       = { for name, stream in module.raw : name => stream.subscription }
}

output "jobs" {
  description = "Ids of the jobs by stream."
  value       = { for name, stream in module.raw : name => stream.job }
}

output "pseudonym_secret" {
  description = "Id of the secret that holds the pseudonym key; its value is added by hand, once (docs/runbooks.md#first-deploy)."
  value       = module.keys.secret
}

output "config_bucket" {
  description = "Where the template's file is expected: templates/PREFIX.json."
  value       = google_storage_bucket.config.name
}

output "urls" {
  description = "Addresses of the services by role."
  value       = module.serving.urls
}
