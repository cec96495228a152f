variable "raw_project" {
  type        = string
  description = "Id of the production project: raw content, the job that encodes it and the services live there, and nowhere else."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.raw_project))
    error_message = "raw_project must be the id of a project: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "raw_project_number" {
  type        = string
  default     = "0"
  description = "Its number, which is in the addresses of its services."
  validation {
    condition     = can(regex("^[0-9]+$", var.raw_project_number))
    error_message = "raw_project_number must be a number."
  }
}

variable "warehouse_project" {
  type        = string
  description = "Id of the project of the four datasets."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.warehouse_project))
    error_message = "warehouse_project must be the id of a project: 6 to 30 lower-case letters, digits and hyphens."
  }
  validation {
    condition     = var.warehouse_project != var.raw_project
    error_message = "warehouse_project must not be raw_project: whoever reads embeddings must need no role where raw content is."
  }
}

variable "region" {
  type        = string
  description = "Region of everything: a job writes to datasets of its own region, and keys encrypt in theirs."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]$", var.region))
    error_message = "region must be a region, as in europe-west4."
  }
}

variable "prefix" {
  type        = string
  default     = "rawless"
  description = "What the names of resources start with."
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{2,7}$", var.prefix))
    error_message = "prefix must be 3 to 8 lower-case letters and digits, a letter first: names of accounts are short."
  }
}

variable "pseudonym_key_version" {
  type        = number
  default     = 1
  description = "Version of the secret that holds the pseudonym key; a rotation adds one (docs/runbooks.md#rotate-keys)."
  validation {
    condition     = var.pseudonym_key_version >= 1 && floor(var.pseudonym_key_version) == var.pseudonym_key_version
    error_message = "pseudonym_key_version must be a whole number from 1."
  }
}

variable "image" {
  type        = string
  description = "The one image of launcher, workers and services, by digest: a tag could mean another encoder tomorrow."
  validation {
    condition     = can(regex("^[a-z0-9-]+-docker\\.pkg\\.dev/[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME@sha256:DIGEST."
  }
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
  }))
  validation {
    condition     = length(var.streams) > 0 && alltrue([for name in keys(var.streams) : can(regex("^[a-z]([a-z0-9_]{0,16}[a-z0-9])?$", name))])
    error_message = "streams must name at least one stream: up to 18 lower-case letters, digits and _, a letter first and no _ last."
  }
  validation {
    condition     = alltrue([for name, each in var.streams : try(yamldecode(file(each.file)).stream == name, false)])
    error_message = "file must be a stream file whose stream has the name that it has here."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : can(regex("^[a-z][a-z0-9]{0,7}$", each.release))])
    error_message = "release must be up to 8 lower-case letters and digits: it is the end of the job's name."
  }
  validation {
    condition = alltrue([for each in values(var.streams) : anytrue([
      each.accelerator == "nvidia-l4" && startswith(each.machine_type, "g2-standard-"),
      each.accelerator == "nvidia-tesla-t4" && startswith(each.machine_type, "n1-"),
      each.accelerator == "" && !startswith(each.machine_type, "g2-"),
    ])])
    error_message = "accelerator and machine_type must fit: nvidia-l4 with g2-standard-…, nvidia-tesla-t4 with n1-…, \"\" with a machine without GPU."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : each.threads >= 1 && each.threads <= 200])
    error_message = "threads must be 1 to 200: each may hold 32 MB of events."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : each.min_workers >= 1 && each.max_workers >= each.min_workers])
    error_message = "min_workers must be at least 1, and max_workers at least min_workers."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : each.utilization_hint >= 0.1 && each.utilization_hint <= 0.9])
    error_message = "utilization_hint must be 0.1 to 0.9, which is what Dataflow takes."
  }
  validation {
    condition     = alltrue([for option in flatten(values(var.streams)[*].service_options) : length(split("=", option)) <= 2 && !strcontains(option, ",")])
    error_message = "A service option must hold no comma and one = at most: Beam splits the list at commas."
  }
  validation {
    # The job refuses these too (pipelines/options.py), but only when it starts.
    condition = alltrue([for option in flatten([for each in values(var.streams) : concat(each.experiments, each.service_options)]) :
      !contains(["enable_data_sampling", "enable_always_on_exception_sampling", "enable_google_cloud_profiler", "enable_google_cloud_heap_sampling"], split("=", option)[0])
    ])
    error_message = "experiments and service_options must not sample elements or memory: that writes raw content beside the job."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : length(setintersection(each.experiments, ["use_multiple_sdk_containers"])) == 0])
    error_message = "use_multiple_sdk_containers would load the encoder once a vCPU: leave it out."
  }
}

variable "service_file" {
  type        = string
  default     = ""
  description = "A service file with its heads (rawless serve), without access, encoder and classifier: those are added. Empty for no services."
}

variable "callers" {
  type        = set(string)
  default     = []
  description = "Mail addresses of the service accounts that may ask the orchestrator."
  validation {
    condition     = var.service_file == "" || length(var.callers) > 0
    error_message = "callers must name somebody: a service that nobody may call does not start."
  }
  validation {
    condition     = alltrue([for each in var.callers : endswith(each, ".gserviceaccount.com")])
    error_message = "callers must be service accounts: a token of a person is nobody's to send on."
  }
}
