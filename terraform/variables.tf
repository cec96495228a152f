# What a name may be is said once, in terraform/design/variables.tf.
variable "raw_project" {
  type        = string
  description = "Id of the production project: raw content, the job that encodes it and the services live there, and nowhere else."
}

variable "warehouse_project" {
  type        = string
  description = "Id of the project of the four datasets."
}

variable "region" {
  type        = string
  description = "Region of everything, as in europe-west4; it must offer the accelerator."
}

variable "prefix" {
  type        = string
  default     = "rawless"
  description = "What the names of resources start with."
}

variable "pseudonym_key_version" {
  type        = number
  default     = 1
  description = "Version of the secret that holds the pseudonym key (docs/runbooks.md#rotate-keys)."
}

variable "image" {
  type        = string
  description = "The one image of launcher, workers and services, by digest."
}

variable "streams" {
  description = "The streams by name. What each field is for stands in docs/gpu.md."
  type = map(object({
    file             = string
    release          = optional(string, "a")
    accelerator      = optional(string, "nvidia-l4")
    machine_type     = optional(string, "g2-standard-4")
    threads          = optional(number, 48)
    min_workers      = optional(number, 1)
    max_workers      = optional(number, 4)
    utilization_hint = optional(number, 0.8)
    at_least_once    = optional(bool, true)
    experiments      = optional(list(string), [])
    service_options  = optional(list(string), [])
    publishers       = set(string)
  }))
}

variable "service_file" {
  type        = string
  default     = ""
  description = "A service file with its heads, without access, encoder and classifier. Empty for no services."
}

variable "callers" {
  type        = set(string)
  default     = []
  description = "Mail addresses of the service accounts that may ask the orchestrator."
}

variable "launchers" {
  type        = set(string)
  description = "Service accounts of the delivery pipeline, as IAM members: they apply this, launch jobs and deploy heads."
}

variable "dataset_builders" {
  type        = set(string)
  description = "Mail addresses of the service accounts that build datasets and fill the subject map."
}

variable "groups" {
  type        = object({ owners = string, scientists = string, auditors = string })
  description = "Mail addresses of the groups of the warehouse's administrators, of data scientists, and of the privacy office."
}

variable "channels" {
  type        = list(string)
  description = "Ids of the notification channels that alerts go to."
}

variable "access_policy" {
  type        = string
  description = "Number of the organisation's access policy."
}

variable "cidr" {
  type        = string
  default     = "10.80.0.0/20"
  description = "Addresses of the workers' subnetwork."
}

variable "driver_projects" {
  type        = set(string)
  default     = []
  description = "Numbers of Google's projects that workers fetch the GPU's driver from, if the perimeter refuses it (docs/gpu.md)."
  validation {
    condition     = alltrue([for each in var.driver_projects : can(regex("^[0-9]+$", each))])
    error_message = "driver_projects must be numbers of projects."
  }
}

variable "break_glass" {
  type        = object({ member = string, until = string, ticket = string })
  default     = null
  description = "A person who may look into the production project for a while, for a ticket. Null, always but then."
  validation {
    condition     = var.break_glass == null || can(timeadd(var.break_glass.until, "0s")) && can(regex("^user:", var.break_glass.member))
    error_message = "break_glass must name one user:…, and a time as in 2026-11-01T12:00:00Z."
  }
  validation {
    condition     = var.break_glass == null || can(regex("^[A-Z]+-[0-9]+$", var.break_glass.ticket))
    error_message = "break_glass must name a ticket, as in OPS-123."
  }
}
