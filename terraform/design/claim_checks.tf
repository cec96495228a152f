# The projects of the buckets that events may name. A grant in the producer's project is the producer's, and the service
# perimeter needs a rule for it; without one, each read would be refused, although the grant allows it.
variable "claim_check_projects" {
  type        = map(string)
  default     = {}
  description = "Id of the project of each bucket that events may name (claim checks), by bucket."
}

locals {
  claim_check_buckets = toset(flatten(values(local.streams)[*].claim_check_buckets))
  claim_checks = { for name, stream in local.streams : name => {
    for bucket in stream.claim_check_buckets : bucket => lookup(var.claim_check_projects, bucket, "")
  } }
}

output "claim_checks" {
  description = "The buckets that each stream's events may name: those of the production project, and the others with their projects."
  value = {
    own       = { for name, buckets in local.claim_checks : name => [for bucket, project in buckets : bucket if project == var.raw_project] }
    elsewhere = { for name, buckets in local.claim_checks : name => { for bucket, project in buckets : bucket => project if project != var.raw_project } }
  }

  precondition {
    condition     = length(setsubtract(local.claim_check_buckets, keys(var.claim_check_projects))) == 0
    error_message = "claim_check_projects must name the project of ${join(", ", setsubtract(local.claim_check_buckets, keys(var.claim_check_projects)))}, because uri_prefixes of a stream file do: the perimeter lets workers read objects of named projects only."
  }
}
