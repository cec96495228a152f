# A network whose only egress is to the Google APIs that VPC Service Controls protect.
terraform {
  required_providers {
    google      = { source = "hashicorp/google" }
    google-beta = { source = "hashicorp/google-beta" }
  }
}

locals {
  # restricted.googleapis.com, through which APIs without support for VPC Service Controls cannot be reached.
  restricted_range = "199.36.153.4/30"
}

resource "google_compute_network" "of" {
  project                         = var.project
  name                            = var.network
  auto_create_subnetworks         = false
  delete_default_routes_on_create = true
}

resource "google_compute_subnetwork" "workers" {
  project                  = var.project
  name                     = var.network
  region                   = var.region
  network                  = google_compute_network.of.id
  ip_cidr_range            = var.cidr
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.5
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_route" "to_restricted_apis" {
  project          = var.project
  name             = "${var.network}-apis"
  network          = google_compute_network.of.name
  dest_range       = local.restricted_range
  next_hop_gateway = "default-internet-gateway"
}

resource "google_compute_firewall" "deny_egress" {
  project            = var.project
  name               = "${var.network}-deny"
  network            = google_compute_network.of.name
  direction          = "EGRESS"
  priority           = 65534
  destination_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "worker_reaches_apis" {
  project            = var.project
  name               = "${var.network}-apis"
  network            = google_compute_network.of.name
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [local.restricted_range]

  allow {
    protocol = "tcp"
    ports    = ["443"]
  }
}

# Dataflow workers shuffle data among themselves over these ports; Dataflow adds the network tag.
resource "google_compute_firewall" "worker_reaches_worker" {
  for_each           = toset(["INGRESS", "EGRESS"])
  project            = var.project
  name               = "${var.network}-workers-${lower(each.value)}"
  network            = google_compute_network.of.name
  direction          = each.value
  priority           = 1000
  target_tags        = ["dataflow"]
  source_ranges      = each.value == "INGRESS" ? [var.cidr] : null
  destination_ranges = each.value == "EGRESS" ? [var.cidr] : null

  allow {
    protocol = "tcp"
    ports    = ["12345-12346"]
  }
}
