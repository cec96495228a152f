output "subnetwork" {
  description = "Self link of the subnetwork, as Dataflow takes it."
  value       = google_compute_subnetwork.workers.self_link
}

output "network" {
  description = "Id of the network."
  value       = google_compute_network.of.id
}

output "walls" {
  description = "Ids of what closes the ways out: nothing runs inside before they are."
  value = concat(
    [google_access_context_manager_service_perimeter.production.id, google_compute_firewall.deny_egress.id],
    [google_compute_firewall.worker_reaches_apis.id, google_compute_route.to_restricted_apis.id],
    values(google_dns_record_set.addresses)[*].id,
    values(google_dns_record_set.names)[*].id,
  )
}
