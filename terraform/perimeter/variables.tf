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
  description = "Addresses of the subnetwork."
  validation {
    condition     = can(cidrhost(var.cidr, 0))
    error_message = "cidr must be a range of addresses, as in 10.80.0.0/20."
  }
}

variable "access_policy" {
  type        = string
  description = "Number of the organisation's access policy."
  validation {
    condition     = can(regex("^[0-9]+$", var.access_policy))
    error_message = "access_policy must be a number, as `gcloud access-context-manager policies list` shows it."
  }
}

variable "callers" {
  type        = set(string)
  description = "Accounts inside that may call the warehouse, as IAM members: jobs and services."
}

variable "publishers" {
  type        = set(string)
  description = "Accounts outside that publish events and put objects."
}

variable "launchers" {
  type        = set(string)
  description = "Accounts outside that apply this and launch jobs."
}

variable "key_readers" {
  type        = set(string)
  description = "Accounts outside that may read the pseudonym key: those that fill the subject map."
}

variable "driver_projects" {
  type        = set(string)
  description = "Numbers of Google's projects that workers fetch the GPU's driver from, if the perimeter refuses it (docs/gpu.md)."
  validation {
    condition     = alltrue([for each in var.driver_projects : can(regex("^[0-9]+$", each))])
    error_message = "driver_projects must be numbers of projects."
  }
}
