# What nobody may do in the production project, whatever roles they are granted, except for the accounts named here. A
# deny policy outranks every grant, also an owner's, and changing it needs a role on the organisation
# (roles/iam.denyAdmin). `make check` compares the exceptions with access.yaml.
locals {
  agents = ["principalSet://cloudresourcemanager.googleapis.com/projects/${local.numbers.raw}/type/ServiceAgent"]
  denials = {
    "Copying messages: another subscription or a snapshot" = {
      permissions = ["pubsub.googleapis.com/topics.attachSubscription", "pubsub.googleapis.com/snapshots.create"]
      except      = [for member in local.deployers : local.principals[member]]
    }
    # Seeking needs the permission to consume too.
    "Reading or replaying messages" = {
      permissions = ["pubsub.googleapis.com/subscriptions.consume"]
      except      = concat([for member in values(local.workers) : local.principals[member]], local.agents)
    }
    "Reading the pseudonym key" = {
      permissions = ["secretmanager.googleapis.com/versions.access"]
      except      = [for member in concat(values(local.workers), [local.services.orchestrator], tolist(local.mappers), tolist(local.erasers)) : local.principals[member]]
    }
    # Dataflow and Cloud Run take the identity of the account that a job or service runs as.
    "Taking the identity of a service account" = {
      permissions = [for action in ["getAccessToken", "getOpenIdToken", "implicitDelegation", "signBlob", "signJwt"] : "iam.googleapis.com/serviceAccounts.${action}"]
      except      = local.agents
    }
  }
  principals = {
    for member in concat(values(local.workers), values(local.services), tolist(local.deployers), tolist(local.mappers), tolist(local.erasers)) :
    member => replace(member, "serviceAccount:", "principal://iam.googleapis.com/projects/-/serviceAccounts/")
  }
}

resource "google_iam_deny_policy" "production" {
  parent       = urlencode("cloudresourcemanager.googleapis.com/projects/${var.raw_project}")
  name         = "${var.prefix}-production"
  display_name = "Copies of raw content, the pseudonym key, identities"

  dynamic "rules" {
    for_each = local.denials
    content {
      description = rules.key
      deny_rule {
        denied_principals    = ["principalSet://goog/public:all"]
        denied_permissions   = rules.value.permissions
        exception_principals = rules.value.except
      }
    }
  }
}
