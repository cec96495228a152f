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
  type        = object({ owners = string, scientists = string, auditors = string, custodians = string })
  description = "Email addresses of the groups of warehouse administrators, data scientists, the privacy office, and those who add the pseudonym key."
}

variable "channels" {
  type        = list(string)
  description = "Ids of the notification channels of the production project."
}

variable "warehouse_channels" {
  type        = list(string)
  description = "Ids of the notification channels of the warehouse project, because an alert only notifies channels of its own."
}

variable "claim_check_projects" {
  type        = map(string)
  default     = {}
  description = "Id of the project of each bucket that events may name (claim checks), by bucket."
}

variable "cidr" {
  type        = string
  default     = "10.80.0.0/20"
  description = "IP address range of the workers' subnetwork."
}
