variable "project" {
  type        = string
  description = "Id of the production project."
}

variable "region" {
  type        = string
  description = "Region of everything."
}

variable "names" {
  type = object({
    stream              = string
    topic               = string
    subscription        = string
    schema              = string
    temp_bucket         = string
    job                 = string
    file                = string
    contract            = string
    claim_check_buckets = list(string)
  })
  description = "Names of what this stream has."
}

variable "worker" {
  type        = object({ name = string, email = string, member = string })
  description = "The account of this stream's job."
}

variable "job" {
  description = "What the job is launched with, as terraform/design computes it."
  type = object({
    name                    = string
    sdk_container_image     = string
    machine_type            = string
    num_workers             = number
    max_workers             = number
    autoscaling_algorithm   = string
    enable_streaming_engine = bool
    ip_configuration        = string
    on_delete               = string
    additional_experiments  = list(string)
    temp_location           = string
    staging_location        = string
    labels                  = map(string)
    parameters              = map(string)
  })
}

variable "template" {
  type        = string
  description = "Where the Flex Template's file is: gs://…/….json."
  validation {
    condition     = can(regex("^gs://.+\\.json$", var.template))
    error_message = "template must be gs://BUCKET/NAME.json."
  }
}

variable "subnetwork" {
  type        = string
  description = "Self link of the subnetwork without a way to the internet."
}

variable "key" {
  type        = string
  description = "Id of the key that encrypts topic, bucket and disks."
}

variable "secret" {
  type        = string
  description = "Id of the secret that holds the pseudonym key."
}

variable "config_bucket" {
  type        = string
  description = "The bucket of stream and warehouse files, which are no data."
}

variable "log_bucket" {
  type        = string
  description = "Where accesses to buckets are logged."
}

variable "publishers" {
  type        = set(string)
  description = "Accounts of the applications whose events these are, as IAM members."
  validation {
    condition     = alltrue([for each in var.publishers : startswith(each, "serviceAccount:")])
    error_message = "publishers must be service accounts: no human is on the raw side."
  }
}

variable "launchers" {
  type        = set(string)
  description = "Accounts of the delivery pipeline, as IAM members; they may act as the worker."
  validation {
    condition     = alltrue([for each in var.launchers : startswith(each, "serviceAccount:")])
    error_message = "launchers must be service accounts: no human is on the raw side."
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
  description = "Where the image lies in Artifact Registry."
}

variable "waits_for" {
  type        = list(string)
  description = "Ids of what else must be before the job starts: its roles in the warehouse, and the walls around it."
}

variable "channels" {
  type        = list(string)
  description = "Ids of the notification channels that alerts go to."
}
