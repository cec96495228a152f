variable "project" {
  type        = string
  description = "Id of the production project: callers send raw content."
}

variable "region" {
  type        = string
  description = "Region of the services."
}

variable "services" {
  type        = map(object({ name = string, account = string }))
  description = "Names of the services and their accounts by role."
}

variable "files" {
  type        = map(string)
  description = "The services' files by role; a role without one is not served."
}

variable "sizes" {
  type = map(object({ cpu = string, memory = string, min = number, max = number }))
  default = {
    encoder      = { cpu = "4", memory = "8Gi", min = 1, max = 10 }
    classifier   = { cpu = "2", memory = "4Gi", min = 1, max = 10 }
    orchestrator = { cpu = "2", memory = "2Gi", min = 1, max = 10 }
  }
  description = "What an instance of each role has, and how many there are."
}

variable "image" {
  type        = string
  description = "The one image, by digest."
}


variable "network" {
  type        = object({ network = string, subnetwork = string })
  description = "The network without a way to the internet."
}

variable "key" {
  type        = string
  description = "Id of the key that encrypts services and heads."
}

variable "secret" {
  type        = string
  description = "Id of the secret that holds the pseudonym key."
}

variable "config_bucket" {
  type        = string
  description = "The bucket of service, stream and warehouse files."
}

variable "heads_bucket" {
  type        = string
  description = "Name of the bucket of deployed heads."
}

variable "log_bucket" {
  type        = string
  description = "Where accesses to buckets are logged."
}

variable "callers" {
  type        = set(string)
  description = "Mail addresses of the service accounts that may ask the orchestrator."
}

variable "deployers" {
  type        = set(string)
  description = "Accounts that deploy heads, as IAM members."
}
