variable "project" {
  type        = string
  description = "Id of the production project, because callers send raw content."
}

variable "region" {
  type        = string
  description = "Region of the services."
}

variable "services" {
  type        = map(object({ name = string, account = string }))
  description = "Names of the services and their accounts, by role."
}

variable "accounts" {
  type        = map(string)
  description = "Service accounts of the services by role, as IAM members."
}

variable "files" {
  type        = map(string)
  description = "Service files by role. A role without a file is not deployed."
}

variable "warehouse" {
  type        = string
  description = "Content of the warehouse file."
}

variable "sizes" {
  type = map(object({ cpu = string, memory = string, min = number, max = number }))
  default = {
    encoder      = { cpu = "4", memory = "8Gi", min = 1, max = 10 }
    classifier   = { cpu = "2", memory = "4Gi", min = 1, max = 10 }
    orchestrator = { cpu = "2", memory = "2Gi", min = 1, max = 10 }
  }
  description = "Size and number of instances, by role."
}

variable "image" {
  type        = string
  description = "Container image without root, by digest."
}

variable "attestor" {
  type        = string
  description = "The attestor of the build pipeline: projects/P/attestors/A."
}

variable "network" {
  type        = object({ network = string, subnetwork = string })
  description = "The network without internet access."
}

variable "key" {
  type        = string
  description = "Id of the key that encrypts services and heads."
}

variable "secret" {
  type        = string
  description = "Id of the secret with the pseudonym key."
}

variable "config_bucket" {
  type        = string
  description = "Bucket of the service files, stream files and the warehouse file."
}

variable "heads_bucket" {
  type        = string
  description = "Name of the bucket of deployed heads."
}

variable "log_bucket" {
  type        = string
  description = "Bucket of the usage logs of buckets."
}

variable "callers" {
  type        = set(string)
  description = "Email addresses of the service accounts that may call the orchestrator."
}

variable "deployers" {
  type        = set(string)
  description = "Service accounts that deploy heads, as IAM members."
}
