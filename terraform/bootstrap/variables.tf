# Beside these, shared.tf has the variables of terraform/variables.tf.
variable "customer" {
  type        = string
  description = "Customer id of the organisation, whose accounts and groups are the only ones that may be granted a role."
}

variable "access_policy" {
  type        = string
  description = "Number of the organisation's access policy."
}

variable "origins" {
  type = map(object({
    networks      = optional(set(string), [])
    access_levels = optional(set(string), [])
  }))
  description = "From where each group may call: IP address ranges, of which an access level is made, and existing access levels by their full names."
}

variable "enforce_perimeters" {
  type        = bool
  description = "Whether the perimeters block calls. false logs what they would block: for the first deployment, and for the numbers in driver_projects."
}

variable "driver_projects" {
  type        = set(string)
  description = "Numbers of Google's projects with the installer and the files of the GPU driver. The log of the first start of a GPU worker names them (docs/runbooks.md#first-deploy)."
  validation {
    condition     = !var.enforce_perimeters || length(var.driver_projects) > 0 || alltrue([for stream in values(var.streams) : stream.accelerator == ""])
    error_message = "driver_projects must not be empty, because a stream has an accelerator: its workers could not install the driver. Set enforce_perimeters = false, start the job, and copy the numbers from the log (docs/runbooks.md#first-deploy)."
  }
}

variable "break_glass" {
  type        = object({ readers = string, approvers = string, hours = optional(number, 4) })
  description = "Email addresses of the group whose members may ask to read a bucket of raw content and of the group that approves it, and for how many hours."
  validation {
    condition     = var.break_glass.readers != var.break_glass.approvers
    error_message = "break_glass.approvers must be another group than break_glass.readers."
  }
  validation {
    condition     = var.break_glass.hours >= 1 && var.break_glass.hours <= 8
    error_message = "break_glass.hours must be 1 to 8."
  }
}
