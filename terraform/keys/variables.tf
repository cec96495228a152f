variable "projects" {
  type        = object({ raw = string, warehouse = string, audit = string })
  description = "Ids of the three projects."
}

variable "numbers" {
  type        = object({ raw = string, warehouse = string })
  description = "Numbers of the two projects."
}

variable "region" {
  type        = string
  description = "Region of the keys and of everything that they encrypt."
}

variable "prefix" {
  type        = string
  description = "Prefix of names."
}

variable "keys" {
  type        = map(object({ project = string, agents = list(string) }))
  description = "The keys, each with its project and the services that use it."
}

variable "retention" {
  type        = object({ key_rotation_seconds = number, key_destruction_seconds = number })
  description = "How often keys rotate, and how long a destroyed key can be restored."
}

variable "secret" {
  type        = string
  description = "Name of the secret with the pseudonym key."
}
