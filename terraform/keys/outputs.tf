output "keys" {
  description = "Ids of the keys by name, available after every service that uses them has been granted them."
  value       = { for name, key in google_kms_crypto_key.of : name => key.id }
  depends_on  = [google_kms_crypto_key_iam_member.agent_uses_key]
}

output "secret" {
  description = "Id of the secret with the pseudonym key."
  value       = google_secret_manager_secret.pseudonym_key.id
}
