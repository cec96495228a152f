# The validations of names are in terraform/design/variables.tf.
variable "raw_project" {
  type        = string
  description = "Id of the production project, the only one that contains raw content, jobs and services."
}

variable "warehouse_project" {
  type        = string
  description = "Id of the warehouse project, which contains the five datasets."
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
  description = "Container image of launcher and workers, by digest."
}

variable "streams" {
  description = "The streams by name. docs/dataflow.md describes the fields."
  type = map(object({
    file                  = string
    accelerator           = optional(string, "nvidia-l4")
    machine_type          = optional(string, "g2-standard-4")
    disk_size_gb          = optional(number, 100)
    launcher_machine_type = optional(string, "e2-standard-2")
    threads               = optional(number, 48)
    min_workers           = optional(number, 1)
    max_workers           = optional(number, 4)
    utilization_hint      = optional(number, 0.8)
    at_least_once         = optional(bool, true)
    experiments           = optional(list(string), [])
    service_options       = optional(list(string), [])
    publishers            = set(string)
  }))
}

variable "service_file" {
  type        = string
  default     = ""
  description = "Path of a service file that lists the heads. access, encoder and classifier are added. Empty means no services."
}

variable "service_image" {
  type        = string
  default     = ""
  description = "Container image of the services, by digest: the target `service`, which has no root."
}

variable "attestor" {
  type        = string
  description = "The attestor of the build pipeline, projects/P/attestors/A. No image without its attestation runs on Cloud Run."
}

variable "callers" {
  type        = set(string)
  default     = []
  description = "Email addresses of the service accounts that may call the orchestrator."
}

variable "deployers" {
  type        = set(string)
  description = "Email addresses of the service accounts that apply Terraform."
}

variable "launchers" {
  type        = set(string)
  description = "Email addresses of the service accounts that launch jobs and deploy heads."
}

variable "subject_mappers" {
  type        = set(string)
  description = "Email addresses of the service accounts that fill the subject map, with the pseudonym key."
}

variable "dataset_builders" {
  type        = set(string)
  description = "Email addresses of the service accounts that build datasets."
}

variable "encoder_managers" {
  type        = set(string)
  description = "Email addresses of the service accounts of ML engineering, which adopt and retire encoders."
}

variable "erasers" {
  type        = set(string)
  description = "Email addresses of the privacy office's service accounts that erase persons, with the pseudonym key."
}

variable "groups" {
  type        = object({ owners = string, scientists = string, auditors = string })
  description = "Email addresses of the groups of warehouse administrators, data scientists and the privacy office."
}

variable "channels" {
  type        = list(string)
  description = "Ids of the notification channels of the production project."
}

variable "warehouse_channels" {
  type        = list(string)
  description = "Ids of the notification channels of the warehouse project, because an alert only notifies channels of its own."
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
  type        = object({ readers = string, approvers = string, hours = optional(number, 4) })
  description = "Email addresses of the group whose members may ask to read a bucket of raw content and of the group that approves it, and for how many hours."
  validation {
    condition     = var.break_glass.readers != var.break_glass.approvers
    error_message = "break_glass.approvers must be another group than break_glass.readers."
  }
  validation {
    condition     = var.break_glass.hours >= 1 && var.break_glass.hours <= 8
    error_message = "break_glass.hours must be 1 to 8."
  }
}
