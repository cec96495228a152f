variable "project" {
  type        = string
  description = "Id of the warehouse project."
}

variable "region" {
  type        = string
  description = "Region of the datasets."
}

variable "prefix" {
  type        = string
  description = "Prefix of names."
}

variable "datasets" {
  type        = object({ events = string, snapshots = string, builds = string, subjects = string, audit = string })
  description = "Ids of the five datasets, by role."
}

variable "tables" {
  description = "The tables of sql/, as terraform/design reads them."
  type = map(object({
    dataset         = string
    description     = string
    cluster         = list(string)
    partition       = string
    filter_required = bool
    days            = number
    columns = list(object({
      name        = string
      type        = string
      mode        = string
      description = string
      tag         = string
      fields      = list(object({ name = string, type = string, mode = string, description = string }))
    }))
  }))
}

variable "policy_tags" {
  type        = set(string)
  description = "Names of the policy tags of columns."
}

variable "time_travel_hours" {
  type        = number
  description = "Hours for which a deleted row can be restored."
}

variable "key" {
  type        = string
  description = "Id of the key that encrypts the datasets."
}

variable "workers" {
  type        = map(string)
  description = "Service accounts of the jobs by stream, as IAM members."
}

variable "services" {
  type        = object({ encoder = string, classifier = string, orchestrator = string })
  description = "Service accounts of the services, as IAM members."
}

variable "owners" {
  type        = string
  description = "Email address of the group that administers the datasets."
}

variable "subject_mappers" {
  type        = set(string)
  description = "Email addresses of the service accounts that fill the subject map."
}

variable "erasers" {
  type        = set(string)
  description = "Email addresses of the privacy office's service accounts that erase persons."
}

variable "dataset_builders" {
  type        = set(string)
  description = "Email addresses of the service accounts that build datasets."
}

variable "encoder_managers" {
  type        = set(string)
  description = "Email addresses of the service accounts of ML engineering, which adopt and retire encoders."
}

variable "scientists" {
  type        = string
  description = "Email address of the group of data scientists, who train on snapshots."
}

variable "channels" {
  type        = list(string)
  description = "Ids of the notification channels of the warehouse project."
}

variable "auditors" {
  type        = string
  description = "Email address of the privacy office's group."
}
