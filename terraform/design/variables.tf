variable "raw_project" {
  type        = string
  description = "Id of the production project, the only one that contains raw content, jobs and services."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.raw_project))
    error_message = "raw_project must be a project id: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "raw_project_number" {
  type        = string
  default     = "0"
  description = "Number of the production project, which is part of the URLs of its services."
  validation {
    condition     = can(regex("^[0-9]+$", var.raw_project_number))
    error_message = "raw_project_number must be a project number."
  }
}

variable "warehouse_project" {
  type        = string
  description = "Id of the warehouse project, which contains the five datasets."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.warehouse_project))
    error_message = "warehouse_project must be a project id: 6 to 30 lower-case letters, digits and hyphens."
  }
  validation {
    condition     = var.warehouse_project != var.raw_project
    error_message = "warehouse_project must differ from raw_project: readers of embeddings must not need a role where raw content is."
  }
}

variable "region" {
  type        = string
  description = "Region of all resources: a job writes to datasets of its own region, and a key encrypts in its own region."
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]$", var.region))
    error_message = "region must be a region such as europe-west4."
  }
}

variable "prefix" {
  type        = string
  default     = "rawless"
  description = "Prefix of the names of resources."
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{2,7}$", var.prefix))
    error_message = "prefix must be 3 to 8 lower-case letters and digits and start with a letter, because account names are short."
  }
}

variable "pseudonym_key_version" {
  type        = number
  default     = 1
  description = "Version of the secret with the pseudonym key; a rotation adds a version (docs/runbooks.md#rotate-keys)."
  validation {
    condition     = var.pseudonym_key_version >= 1 && floor(var.pseudonym_key_version) == var.pseudonym_key_version
    error_message = "pseudonym_key_version must be an integer of at least 1."
  }
}

variable "image" {
  type        = string
  description = "Container image of launcher and workers, by digest, because a tag could point to another encoder later."
  validation {
    condition     = can(regex("^[a-z0-9-]+-docker\\.pkg\\.dev/[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME@sha256:DIGEST."
  }
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
  }))
  validation {
    condition     = length(var.streams) > 0 && alltrue([for name in keys(var.streams) : can(regex("^[a-z]([a-z0-9_]{0,16}[a-z0-9])?$", name))])
    error_message = "streams must contain at least one stream. A name has up to 18 lower-case letters, digits and _, starts with a letter and does not end with _."
  }
  validation {
    condition     = alltrue([for name, each in var.streams : try(yamldecode(file(each.file)).stream == name, false)])
    error_message = "file must be a stream file with the same stream name as the key."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : each.disk_size_gb >= 50 && each.disk_size_gb <= 2000 && floor(each.disk_size_gb) == each.disk_size_gb])
    error_message = "disk_size_gb must be an integer from 50 to 2000: a worker unpacks its image, several gigabytes, on its boot disk."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : can(regex("^[a-z][a-z0-9]*-[a-z]+-[0-9]+$", each.launcher_machine_type))])
    error_message = "launcher_machine_type must be a machine type such as e2-standard-2."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : each.max_workers <= 1000 && floor(each.min_workers) == each.min_workers && floor(each.max_workers) == each.max_workers])
    error_message = "min_workers and max_workers must be integers of at most 1000, the most that the API's description of a launch allows."
  }
  validation {
    condition = alltrue([for each in values(var.streams) : anytrue([
      each.accelerator == "nvidia-l4" && startswith(each.machine_type, "g2-standard-"),
      each.accelerator == "nvidia-tesla-t4" && startswith(each.machine_type, "n1-"),
      each.accelerator == "" && !startswith(each.machine_type, "g2-"),
    ])])
    error_message = "accelerator and machine_type must match: nvidia-l4 with g2-standard-…, nvidia-tesla-t4 with n1-…, \"\" with a machine without a GPU."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : each.threads >= 1 && each.threads <= 200])
    error_message = "threads must be 1 to 200: each thread may use 32 MB for events."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : each.min_workers >= 1 && each.max_workers >= each.min_workers])
    error_message = "min_workers must be at least 1, and max_workers at least min_workers."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : each.utilization_hint >= 0.1 && each.utilization_hint <= 0.9])
    error_message = "utilization_hint must be 0.1 to 0.9, the range that Dataflow accepts."
  }
  validation {
    condition     = alltrue([for option in flatten(values(var.streams)[*].service_options) : length(split("=", option)) <= 2 && !strcontains(option, ",")])
    error_message = "A service option must not contain a comma and at most one =, because Beam splits the list at commas."
  }
  validation {
    condition = alltrue([for option in flatten(values(var.streams)[*].service_options) :
      can(regex(local.accepted_by_parameter.dataflow_service_options, option))
    ])
    error_message = "A service option must match the pattern of dataflow_service_options in template/metadata.json: Dataflow refuses to launch with another."
  }
  validation {
    # The job refuses these too (pipelines/allowed_options.py), but only when it is launched.
    condition = alltrue([for option in flatten([for each in values(var.streams) : concat(each.experiments, each.service_options)]) :
      !contains(["enable_data_sampling", "enable_always_on_exception_sampling", "enable_google_cloud_profiler", "enable_google_cloud_heap_sampling", "enable_heap_dump", "core_pattern", "runner_harness_container_image"], split("=", option)[0])
    ])
    error_message = "experiments and service_options must not sample elements or memory, or replace an image: that could move raw content out of the pipeline."
  }
  validation {
    condition     = alltrue([for each in values(var.streams) : length(setintersection(each.experiments, ["use_multiple_sdk_containers"])) == 0])
    error_message = "Remove use_multiple_sdk_containers: it would load the encoder once per vCPU."
  }
}

variable "service_file" {
  type        = string
  default     = ""
  description = "Path of a service file (rawless serve) that lists the heads. access, encoder and classifier are added. Empty means no services."
}

variable "service_image" {
  type        = string
  default     = ""
  description = "Container image of the services, by digest: the target `service` of the Dockerfile, which has no root."
  validation {
    condition     = var.service_file == "" || can(regex("^[a-z0-9-]+-docker\\.pkg\\.dev/[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+@sha256:[0-9a-f]{64}$", var.service_image))
    error_message = "service_image must be REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME@sha256:DIGEST, because service_file is given."
  }
  validation {
    condition     = var.service_image != var.image
    error_message = "service_image must be the target `service`, not the image of the workers, which runs as root."
  }
}

variable "attestor" {
  type        = string
  default     = "projects/acme-build/attestors/build"
  description = "The attestor of the build pipeline."
  validation {
    condition     = can(regex("^projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/attestors/[A-Za-z0-9_-]+$", var.attestor))
    error_message = "attestor must be projects/PROJECT/attestors/NAME."
  }
}

variable "accounts" {
  type        = object({ deployers = set(string), launchers = set(string), mappers = set(string), erasers = set(string), builders = set(string), managers = set(string) })
  default     = { deployers = [], launchers = [], mappers = [], erasers = [], builders = [], managers = [] }
  description = "Email addresses of the service accounts that apply Terraform, launch jobs, fill the subject map, erase persons, build datasets and manage encoders."
  validation {
    condition     = alltrue([for each in flatten([for duty in values(var.accounts) : tolist(duty)]) : endswith(each, ".gserviceaccount.com")])
    error_message = "deployers, launchers, subject_mappers, erasers, dataset_builders and encoder_managers must be email addresses of service accounts."
  }
  validation {
    condition     = length(setunion(values(var.accounts)...)) == sum([for duty in values(var.accounts) : length(duty)])
    error_message = "deployers, launchers, subject_mappers, erasers, dataset_builders and encoder_managers must not share an account: who reads the pseudonym key must not read embeddings, and who launches code must not change who may."
  }
}

variable "callers" {
  type        = set(string)
  default     = []
  description = "Email addresses of the service accounts that may call the orchestrator."
  validation {
    condition     = var.service_file == "" || length(var.callers) > 0
    error_message = "callers must not be empty: a service that nobody may call does not start."
  }
  validation {
    condition     = alltrue([for each in var.callers : endswith(each, ".gserviceaccount.com")])
    error_message = "callers must be service accounts: a person's token must not be forwarded."
  }
}
