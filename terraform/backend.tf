# The state's bucket is named at `terraform init -backend-config=bucket=…`. No secret is in the state, but all names are.
terraform {
  backend "gcs" {}
}
