variable "project" {
  type        = string
  description = "Id of the production project."
}

variable "region" {
  type        = string
  description = "Region of all resources."
}

variable "names" {
  type = object({
    stream              = string
    topic               = string
    subscription        = string
    schema              = string
    temp_bucket         = string
    staging_bucket      = string
    job_file            = string
    stream_file         = string
    file                = string
    contract            = string
    claim_check_buckets = list(string)
  })
  description = "Names of this stream's resources."
}

variable "worker" {
  type        = object({ name = string, email = string, member = string })
  description = "Service account of this stream's job."
}

variable "roles" {
  type        = object({ worker = string, temp_user = string, staging_reader = string })
  description = "Names of the custom roles of workers: on the project, on the temp bucket, and on the staging bucket."
}

variable "request" {
  type        = string
  description = "The content of the job file, as terraform/design computes it."
}

variable "key" {
  type        = string
  description = "Id of the key that encrypts topic, bucket and disks."
}

variable "secret" {
  type        = string
  description = "Id of the secret with the pseudonym key."
}

variable "config_bucket" {
  type        = string
  description = "Bucket of the stream files, the warehouse file and the job files."
}

variable "log_bucket" {
  type        = string
  description = "Bucket of the usage logs of buckets."
}

variable "publishers" {
  type        = set(string)
  description = "Service accounts of the applications that publish events, as IAM members."
  validation {
    condition     = alltrue([for each in var.publishers : startswith(each, "serviceAccount:")])
    error_message = "publishers must be service accounts: no person has access to raw content."
  }
}

variable "launchers" {
  type        = set(string)
  description = "Service accounts of the delivery pipeline, as IAM members. They may act as the worker."
  validation {
    condition     = alltrue([for each in var.launchers : startswith(each, "serviceAccount:")])
    error_message = "launchers must be service accounts: no person has access to raw content."
  }
}

variable "retention" {
  type = object({
    unacknowledged_seconds = number
    acknowledged           = bool
    oldest_unacked_alert   = number
    temp_days              = number
  })
  description = "How long raw content is kept."
}

variable "repository" {
  type        = object({ project = string, location = string, name = string })
  description = "The image's repository in Artifact Registry."
}

variable "prerequisites" {
  type        = list(string)
  description = "Ids of further resources that must exist before a job starts: its roles in the warehouse, the egress restrictions and its warehouse file."
}

variable "channels" {
  type        = list(string)
  description = "Ids of the notification channels of the alerts."
}
