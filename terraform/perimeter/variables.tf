variable "project" {
  type        = string
  description = "Id of the production project."
}

variable "region" {
  type        = string
  description = "Region of the subnetwork."
}

variable "network" {
  type        = string
  description = "Name of the network."
}

variable "cidr" {
  type        = string
  description = "IP address range of the subnetwork."
  validation {
    condition     = can(cidrhost(var.cidr, 0))
    error_message = "cidr must be an IP address range such as 10.80.0.0/20."
  }
}
