# `terraform init -backend-config=bucket=…` names the bucket of the state. The state contains all names, but no secret.
terraform {
  backend "gcs" {}
}
