raw_project       = "acme-production"
warehouse_project = "acme-embeddings"
region            = "europe-west4"
image             = "europe-west4-docker.pkg.dev/acme-production/rawless/rawless@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
streams = {
  digit_upload    = { file = "../../examples/digit_upload/stream.yaml" }
  support_message = { file = "../../examples/support_message/stream.yaml", accelerator = "", machine_type = "n2-standard-4" }
}
claim_check_projects = { acme-uploads = "acme-production", acme-scans = "acme-shop" }
