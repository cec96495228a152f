variable "project" {
  type        = string
  description = "Id of the production project."
}

variable "name" {
  type        = string
  description = "Prefix of the names of perimeters and access levels."
}

variable "numbers" {
  type        = object({ raw = string, warehouse = string, audit = string })
  description = "Numbers of the three projects."
}

variable "access_policy" {
  type        = string
  description = "Number of the organisation's access policy."
  validation {
    condition     = can(regex("^[0-9]+$", var.access_policy))
    error_message = "access_policy must be a number; `gcloud access-context-manager policies list` shows it."
  }
}

variable "origins" {
  type        = map(object({ networks = set(string), access_levels = set(string) }))
  description = "From where each group may call: IP address ranges, and existing access levels."
  validation {
    condition     = toset(keys(var.origins)) == toset(["producers", "builders", "scientists", "auditors", "owners", "delivery"])
    error_message = "origins must have the keys producers, builders, scientists, auditors, owners and delivery."
  }
  validation {
    condition     = alltrue([for origin in values(var.origins) : length(origin.networks) + length(origin.access_levels) > 0])
    error_message = "origins must name at least one network or access level for each group."
  }
  validation {
    condition = alltrue([for level in flatten([for origin in values(var.origins) : tolist(origin.access_levels)]) :
      can(regex("^accessPolicies/${var.access_policy}/accessLevels/[A-Za-z][A-Za-z0-9_]*$", level))
    ])
    error_message = "access_levels must be names such as accessPolicies/N/accessLevels/NAME, where N is access_policy. * would let a stolen token in from anywhere."
  }
  validation {
    condition = alltrue([for network in flatten([for origin in values(var.origins) : tolist(origin.networks)]) :
      can(cidrhost(network, 0)) && try(tonumber(split("/", network)[1]) >= 8, false)
    ])
    error_message = "networks must be IP address ranges such as 203.0.113.0/24, of /8 or smaller: 0.0.0.0/0 would let a stolen token in from anywhere."
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
    owners    = set(string), custodians = set(string), delivery = set(string), break_glass = set(string)
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

variable "enforced" {
  type        = bool
  description = "Whether the perimeters block calls, instead of logging what they would block."
}

variable "image_project" {
  type        = string
  description = "Project of the repository of the image."
  validation {
    condition     = var.image_project == var.project
    error_message = "image must be in a repository of ${var.project}: the perimeter lets no machine pull an image from ${var.image_project}."
  }
}

variable "gpu_workers" {
  type        = set(string)
  description = "Accounts of the workers with a GPU, as IAM members. They install its driver when they start."
}

variable "driver_projects" {
  type        = set(string)
  description = "Numbers of Google's projects with the installer and the files of the GPU driver."
  validation {
    condition     = alltrue([for each in var.driver_projects : can(regex("^[0-9]+$", each))])
    error_message = "driver_projects must be project numbers."
  }
}

variable "claim_checks" {
  type        = map(set(string))
  description = "Workers that read objects of each producer's project, as IAM members, by the project's number."
}
