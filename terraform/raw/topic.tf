# Where events arrive, and wait until a row is written.
terraform {
  required_providers {
    google      = { source = "hashicorp/google" }
    google-beta = { source = "hashicorp/google-beta" }
  }
}

# For producers to read. It is bound to no topic: Pub/Sub holds a message's data to a schema, and ours is the payload
# itself; an event that breaks the contract must become a rejection that is counted (docs/decisions/0016).
resource "google_pubsub_schema" "contract" {
  project    = var.project
  name       = var.names.schema
  type       = "AVRO"
  definition = var.names.contract
}

resource "google_pubsub_topic" "events" {
  project      = var.project
  name         = var.names.topic
  kms_key_name = var.key

  # No message_retention_duration: a topic that retains could give acknowledged content back.
  message_storage_policy {
    allowed_persistence_regions = [var.region]
    enforce_in_transit          = true
  }
}

resource "google_pubsub_subscription" "ingest" {
  project                    = var.project
  name                       = var.names.subscription
  topic                      = google_pubsub_topic.events.id
  message_retention_duration = "${var.retention.unacknowledged_seconds}s"
  retain_acked_messages      = var.retention.acknowledged
  # Dataflow extends it while it holds a message.
  ack_deadline_seconds = 60

  # A subscription that nobody read for a month would be deleted, with what waits in it.
  expiration_policy {
    ttl = ""
  }
  # No dead-letter topic and no retry policy: Dataflow supports neither, and a dead letter would be raw content at rest.
}

resource "google_pubsub_topic_iam_member" "publisher_publishes" {
  for_each = var.publishers
  project  = var.project
  topic    = google_pubsub_topic.events.name
  role     = "roles/pubsub.publisher"
  member   = each.value
}

resource "google_pubsub_subscription_iam_member" "worker_reads_messages" {
  project      = var.project
  subscription = google_pubsub_subscription.ingest.name
  role         = "roles/pubsub.subscriber"
  member       = var.worker.member
}

# Dataflow asks what the subscription is like before it reads.
resource "google_pubsub_subscription_iam_member" "worker_sees_subscription" {
  project      = var.project
  subscription = google_pubsub_subscription.ingest.name
  role         = "roles/pubsub.viewer"
  member       = var.worker.member
}
