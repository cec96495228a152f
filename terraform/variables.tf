# The validations of names are in terraform/design/variables.tf.
variable "raw_project" {
  type        = string
  description = "Id of the production project, the only one that contains raw content, jobs and services."
}

variable "warehouse_project" {
  type        = string
  description = "Id of the warehouse project, which contains the four datasets."
}

variable "audit_project" {
  type        = string
  description = "Id of the audit project, which contains the audit logs of all three. The privacy office administers it."
}

variable "region" {
  type        = string
  description = "Region of all resources, such as europe-west4. It must offer the accelerator."
}

variable "prefix" {
  type        = string
  default     = "rawless"
  description = "Prefix of the names of resources."
}

variable "pseudonym_key_version" {
  type        = number
  default     = 1
  description = "Version of the secret with the pseudonym key (docs/runbooks.md#rotate-keys)."
}

variable "image" {
  type        = string
  description = "Container image of launcher, workers and services, by digest."
}

variable "streams" {
  description = "The streams by name. docs/dataflow.md describes the fields."
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
  description = "Path of a service file that lists the heads. access, encoder and classifier are added. Empty means no services."
}

variable "callers" {
  type        = set(string)
  default     = []
  description = "Email addresses of the service accounts that may call the orchestrator."
}

variable "launchers" {
  type        = set(string)
  description = "Service accounts of the delivery pipeline, as IAM members. They apply Terraform, launch jobs and deploy heads."
}

variable "dataset_builders" {
  type        = set(string)
  description = "Email addresses of the service accounts that build datasets and fill the subject map."
}

variable "groups" {
  type        = object({ owners = string, scientists = string, auditors = string })
  description = "Email addresses of the groups of warehouse administrators, data scientists and the privacy office."
}

variable "channels" {
  type        = list(string)
  description = "Ids of the notification channels of the alerts."
}

variable "customer" {
  type        = string
  description = "Customer id of the organisation, whose accounts and groups are the only ones that may be granted a role."
}

variable "access_policy" {
  type        = string
  description = "Number of the organisation's access policy."
}

variable "access_levels" {
  type = object({
    producers = set(string), builders = set(string), scientists = set(string), auditors = set(string), owners = set(string),
    delivery  = set(string)
  })
  description = "Access levels of the organisation (networks, devices) from which each group may enter, by their full names."
}

variable "cidr" {
  type        = string
  default     = "10.80.0.0/20"
  description = "IP address range of the workers' subnetwork."
}

variable "driver_projects" {
  type        = set(string)
  default     = []
  description = "Numbers of the Google projects that workers download the GPU driver from, if the perimeter blocks it (docs/dataflow.md)."
  validation {
    condition     = alltrue([for each in var.driver_projects : can(regex("^[0-9]+$", each))])
    error_message = "driver_projects must be project numbers."
  }
}

variable "break_glass" {
  type        = object({ member = string, until = string, ticket = string })
  default     = null
  description = "A person who may read objects of the production project until a given time, for a ticket. Null otherwise."
  validation {
    condition     = var.break_glass == null || can(timeadd(var.break_glass.until, "0s")) && can(regex("^user:", var.break_glass.member))
    error_message = "break_glass.member must be user:EMAIL, and break_glass.until a time such as 2026-11-01T12:00:00Z."
  }
  validation {
    condition     = var.break_glass == null || can(regex("^[A-Z]+-[0-9]+$", var.break_glass.ticket))
    error_message = "break_glass.ticket must be a ticket id such as OPS-123."
  }
}
