output "subnetwork" {
  description = "Self link of the subnetwork, the form that Dataflow expects."
  value       = google_compute_subnetwork.workers.self_link
}

output "network" {
  description = "Id of the network."
  value       = google_compute_network.of.id
}

output "barriers" {
  description = "Ids of the resources that restrict egress. They must exist before anything runs inside."
  value = concat(
    [google_compute_firewall.deny_egress.id, google_compute_firewall.worker_reaches_apis.id, google_compute_route.to_restricted_apis.id],
    values(google_dns_record_set.addresses)[*].id,
    values(google_dns_record_set.names)[*].id,
    [google_dns_response_policy_rule.nothing_else.id], values(google_dns_response_policy_rule.resolved)[*].id,
  )
}
