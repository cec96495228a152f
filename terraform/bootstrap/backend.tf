# `terraform init -backend-config=bucket=… -backend-config=prefix=bootstrap`: a state of its own, which only administrators
# of the organisation may change.
terraform {
  backend "gcs" {}
}
