variable "project" {
  type        = string
  description = "Id of the production project."
}

variable "numbers" {
  type        = object({ raw = string, warehouse = string })
  description = "Numbers of the two projects."
}

variable "region" {
  type        = string
  description = "Region of the subnetwork."
}

variable "network" {
  type        = string
  description = "Name of the network."
}

variable "cidr" {
  type        = string
  description = "IP address range of the subnetwork."
  validation {
    condition     = can(cidrhost(var.cidr, 0))
    error_message = "cidr must be an IP address range such as 10.80.0.0/20."
  }
}

variable "access_policy" {
  type        = string
  description = "Number of the organisation's access policy."
  validation {
    condition     = can(regex("^[0-9]+$", var.access_policy))
    error_message = "access_policy must be a number; `gcloud access-context-manager policies list` shows it."
  }
}

variable "callers" {
  type        = set(string)
  description = "Accounts of jobs and services, as IAM members, which may call the warehouse from inside."
}

variable "publishers" {
  type        = set(string)
  description = "Outside accounts that publish events and write objects."
}

variable "launchers" {
  type        = set(string)
  description = "Outside accounts that apply Terraform and launch jobs."
}

variable "key_readers" {
  type        = set(string)
  description = "Outside accounts that may read the pseudonym key to fill the subject map."
}

variable "driver_projects" {
  type        = set(string)
  description = "Numbers of the Google projects that workers download the GPU driver from, if the perimeter blocks it (docs/dataflow.md)."
  validation {
    condition     = alltrue([for each in var.driver_projects : can(regex("^[0-9]+$", each))])
    error_message = "driver_projects must be project numbers."
  }
}
