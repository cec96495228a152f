variable "projects" {
  type        = object({ raw = string, warehouse = string })
  description = "Ids of the two projects."
}

variable "prefix" {
  type        = string
  description = "What names start with."
}

variable "audit_dataset" {
  type        = string
  description = "Id of the dataset that audit logs go to."
}

variable "rejection_alerts" {
  type        = map(object({ reasons = list(string), severity = string, query = string }))
  description = "Alerts on rejections, as terraform/design computes them."
}

variable "channels" {
  type        = list(string)
  description = "Ids of the notification channels that alerts go to."
}

variable "workers" {
  type        = set(string)
  description = "The jobs' accounts, as IAM members: each read of theirs is an event, which the tables tell."
}
