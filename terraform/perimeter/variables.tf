variable "project" {
  type        = string
  description = "Id of the production project."
}

variable "numbers" {
  type        = object({ raw = string, warehouse = string, audit = string })
  description = "Numbers of the three projects."
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

variable "access_levels" {
  type = object({
    producers = set(string), builders = set(string), scientists = set(string), auditors = set(string), owners = set(string),
    delivery  = set(string)
  })
  description = "Access levels of the organisation (networks, devices) from which each group may enter, by their full names."
  validation {
    condition     = alltrue([for levels in values(var.access_levels) : length(levels) > 0])
    error_message = "access_levels must name at least one access level for each group."
  }
  validation {
    condition = alltrue([for level in flatten([for levels in values(var.access_levels) : tolist(levels)]) :
      can(regex("^accessPolicies/${var.access_policy}/accessLevels/[A-Za-z][A-Za-z0-9_]*$", level))
    ])
    error_message = "access_levels must be names such as accessPolicies/N/accessLevels/NAME, where N is access_policy. * would let a stolen token in from anywhere."
  }
}

variable "writers" {
  type        = set(string)
  description = "Accounts of jobs and services, as IAM members, which may append rows to the warehouse from inside."
}

variable "readers" {
  type        = set(string)
  description = "Accounts of services without raw content, as IAM members, which may query the warehouse from inside."
}

variable "log_writers" {
  type        = set(string)
  description = "Accounts that deliver audit logs to the warehouse and to the audit project, as IAM members."
}

variable "identities" {
  type = object({
    producers = set(string), mappers = set(string), builders = set(string), scientists = set(string), auditors = set(string),
    owners    = set(string), delivery = set(string), break_glass = set(string)
  })
  description = "Accounts and groups that enter from outside, as IAM members. mappers fill the subject map or erase persons, with the pseudonym key."
  validation {
    condition     = alltrue([for members in values(var.identities) : length(members) > 0])
    error_message = "identities must name at least one member for each group, because a rule without identities is invalid."
  }
  validation {
    condition     = alltrue([for member in flatten([for members in values(var.identities) : tolist(members)]) : can(regex("^(serviceAccount|group):", member))])
    error_message = "identities must be service accounts or groups: a single person gets access by an approved grant only."
  }
}

variable "driver_projects" {
  type        = set(string)
  description = "Numbers of the Google projects that workers download the GPU driver from, if the perimeter blocks it (docs/dataflow.md)."
  validation {
    condition     = alltrue([for each in var.driver_projects : can(regex("^[0-9]+$", each))])
    error_message = "driver_projects must be project numbers."
  }
}
