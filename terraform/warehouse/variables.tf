variable "project" {
  type        = string
  description = "Id of the project of the datasets."
}

variable "region" {
  type        = string
  description = "Region of the datasets."
}

variable "prefix" {
  type        = string
  description = "What names start with."
}

variable "datasets" {
  type        = object({ events = string, snapshots = string, subjects = string, audit = string })
  description = "Ids of the four datasets by role."
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
  description = "Names of the policy tags that columns carry."
}

variable "time_travel_hours" {
  type        = number
  description = "For how long a deleted row can be restored."
}

variable "key" {
  type        = string
  description = "Id of the key that encrypts the datasets."
}

variable "workers" {
  type        = map(string)
  description = "The jobs' accounts by stream, as IAM members."
}

variable "services" {
  type        = object({ encoder = string, classifier = string, orchestrator = string })
  description = "The services' accounts, as IAM members."
}

variable "owners" {
  type        = string
  description = "Mail address of the group that administers the datasets, and reads none of their rows by this."
}

variable "dataset_builders" {
  type        = set(string)
  description = "Mail addresses of the service accounts that build datasets and fill the subject map."
}

variable "scientists" {
  type        = string
  description = "Mail address of the group that trains on snapshots."
}

variable "auditors" {
  type        = string
  description = "Mail address of the privacy office's group."
}
