# Names that resolve: those of the restricted Google APIs, and those that Google Cloud gives to its machines. Any other
# query could carry content to the owner of a domain, although no connection to it is possible.
locals {
  restricted_addresses = [for number in range(4) : cidrhost(local.restricted_range, number)]
  restricted_domains   = { googleapis = "googleapis.com.", registry = "pkg.dev.", containers = "gcr.io.", run = "run.app." }
  # The metadata server and other machines are under internal., and only below it.
  resolved = merge([for name, domain in merge(local.restricted_domains, { machines = "internal." }) :
    { (name) = domain, "${name}-names" = "*.${domain}" }
  ]...)
}

resource "google_dns_managed_zone" "restricted" {
  for_each   = local.restricted_domains
  project    = var.project
  name       = "${var.network}-${each.key}"
  dns_name   = each.value
  visibility = "private"

  private_visibility_config {
    networks {
      network_url = google_compute_network.of.id
    }
  }
}

resource "google_dns_record_set" "addresses" {
  for_each     = local.restricted_domains
  project      = var.project
  managed_zone = google_dns_managed_zone.restricted[each.key].name
  name         = each.value
  type         = "A"
  ttl          = 300
  rrdatas      = local.restricted_addresses
}

resource "google_dns_record_set" "names" {
  for_each     = local.restricted_domains
  project      = var.project
  managed_zone = google_dns_managed_zone.restricted[each.key].name
  name         = "*.${each.value}"
  type         = "CNAME"
  ttl          = 300
  rrdatas      = [each.value]
}

resource "google_dns_response_policy" "closed" {
  project              = var.project
  response_policy_name = var.network

  networks {
    network_url = google_compute_network.of.id
  }
}

# The longest matching name decides. Local data replaces every other answer for a name.
resource "google_dns_response_policy_rule" "nothing_else" {
  project         = var.project
  response_policy = google_dns_response_policy.closed.response_policy_name
  rule_name       = "nothing-else"
  dns_name        = "*."

  local_data {
    local_datas {
      name    = "*."
      type    = "A"
      ttl     = 300
      rrdatas = ["0.0.0.0"]
    }
  }
}

resource "google_dns_response_policy_rule" "resolved" {
  provider        = google-beta
  for_each        = local.resolved
  project         = var.project
  response_policy = google_dns_response_policy.closed.response_policy_name
  rule_name       = each.key
  dns_name        = each.value
  behavior        = "bypassResponsePolicy"
}

# Logs each query, so that an attempt is seen.
resource "google_dns_policy" "logged" {
  project        = var.project
  name           = var.network
  enable_logging = true

  networks {
    network_url = google_compute_network.of.id
  }
}
