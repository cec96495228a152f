# The topic of a stream, and the subscription that keeps its events until their rows are written.
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

# Documents the attributes for producers. It is not attached to the topic: Pub/Sub validates a message's data against a
# schema, and the data is the payload itself (docs/decisions/0016).
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

  # No message_retention_duration: acknowledged content could be replayed from a topic that retains messages.
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
  # Dataflow extends the deadline while it processes a message.
  ack_deadline_seconds = 60

  # By default a subscription that is not read for a month is deleted with its messages.
  expiration_policy {
    ttl = ""
  }
  # No dead-letter topic and no retry policy: Dataflow supports neither, and dead letters would be raw content at rest.
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

# Dataflow reads the subscription's settings before it reads messages.
resource "google_pubsub_subscription_iam_member" "worker_sees_subscription" {
  project      = var.project
  subscription = google_pubsub_subscription.ingest.name
  role         = "roles/pubsub.viewer"
  member       = var.worker.member
}
