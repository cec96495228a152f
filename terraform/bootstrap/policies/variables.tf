variable "project" {
  type        = string
  description = "Id of the project."
}

variable "region" {
  type        = string
  description = "The only region in which resources may be created."
}

variable "customer" {
  type        = string
  description = "Customer id of the organisation, whose accounts and groups are the only ones that may be granted a role."
  validation {
    condition     = can(regex("^C[0-9a-z]+$", var.customer))
    error_message = "customer must be a customer id such as C0abc123d; `gcloud organizations list` shows it."
  }
}

variable "runs_raw_content" {
  type        = bool
  description = "Whether it is the production project, which has services, and a bucket to which Google delivers usage logs."
}

variable "encrypted_services" {
  type        = list(string)
  description = "APIs of the services that may store data only under a customer-managed key."
}
