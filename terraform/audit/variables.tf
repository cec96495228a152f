variable "projects" {
  type        = object({ raw = string, warehouse = string, audit = string })
  description = "Ids of the three projects."
  validation {
    condition     = length(distinct(values(var.projects))) == 3
    error_message = "audit_project must differ from raw_project and warehouse_project: their administrators must not administer the records of what they did."
  }
}

variable "region" {
  type        = string
  description = "Region of the records."
}

variable "prefix" {
  type        = string
  description = "Prefix of names."
}

variable "key" {
  type        = string
  description = "Id of the key that encrypts the records."
}

variable "retention_days" {
  type        = number
  description = "Days for which records are kept."
}

variable "dataset" {
  type        = string
  description = "Id of the warehouse's audit dataset."
}

variable "auditors" {
  type        = string
  description = "Email address of the group that reads the records."
}

variable "workers" {
  type        = set(string)
  description = "Service accounts of the jobs, as IAM members."
}
