# What only the administrator of the organisation needs, beside ../example.tfvars.
access_policy = "123456789"
customer      = "C0abc123d"

# From where each group calls: addresses of a network, or access levels that exist, such as one of the company's devices.
origins = {
  producers  = { networks = ["203.0.113.0/28"] }
  builders   = { networks = ["198.51.100.0/24"] }
  scientists = { access_levels = ["accessPolicies/123456789/accessLevels/company_devices"] }
  auditors   = { access_levels = ["accessPolicies/123456789/accessLevels/company_devices"] }
  owners     = { access_levels = ["accessPolicies/123456789/accessLevels/company_devices"] }
  delivery   = { networks = ["198.51.100.0/24"] }
}
break_glass = {
  readers   = "on-call@acme.example"
  approvers = "privacy-office@acme.example"
}

# false for the first deployment: the log of the first GPU worker's start then names driver_projects.
enforce_perimeters = true
driver_projects    = ["100000000001", "100000000002"]
