variable "projects" {
  type        = object({ raw = string, warehouse = string })
  description = "Ids of the two projects."
}

variable "prefix" {
  type        = string
  description = "Prefix of names."
}

variable "rejection_alerts" {
  type        = map(object({ reasons = list(string), severity = string, query = string }))
  description = "Alerts on rejections, as terraform/design computes them."
}

variable "channels" {
  type        = list(string)
  description = "Ids of the notification channels of the alerts."
}
