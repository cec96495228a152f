# For both steps, bootstrap/ and this folder. Copy this file and replace the values. All other variables have defaults: see
# variables.tf.
raw_project       = "acme-production"
warehouse_project = "acme-embeddings"
audit_project     = "acme-audit"
region            = "europe-west4"
image             = "europe-west4-docker.pkg.dev/acme-production/rawless/rawless@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
service_image     = "europe-west4-docker.pkg.dev/acme-production/rawless/service@sha256:89abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234567"
attestor          = "projects/acme-build/attestors/build"

streams = {
  photo_upload = {
    file       = "example-stream.yaml"
    publishers = ["serviceAccount:shop@acme-shop.iam.gserviceaccount.com"]
  }
  support_message = {
    file         = "../examples/support_message/stream.yaml"
    accelerator  = ""
    machine_type = "n2-standard-4"
    publishers   = ["serviceAccount:helpdesk@acme-shop.iam.gserviceaccount.com"]
  }
}

# The project of each bucket that a stream file's uri_prefixes name: raw_project, or a producer's own.
claim_check_projects = { acme-uploads = "acme-production" }

# The services are applied last, when their heads are deployed; until then `-var=service_file=` leaves them out.
service_file     = "example-service.yaml"
callers          = ["shop@acme-shop.iam.gserviceaccount.com"]
deployers        = ["terraform@acme-build.iam.gserviceaccount.com"]
launchers        = ["delivery@acme-build.iam.gserviceaccount.com"]
subject_mappers  = ["mapper@acme-embeddings.iam.gserviceaccount.com"]
erasers          = ["eraser@acme-embeddings.iam.gserviceaccount.com"]
encoder_managers = ["ml-engineering@acme-embeddings.iam.gserviceaccount.com"]
dataset_builders = ["builder@acme-embeddings.iam.gserviceaccount.com"]
groups = {
  owners     = "warehouse-owners@acme.example"
  scientists = "data-scientists@acme.example"
  auditors   = "privacy-office@acme.example"
  custodians = "key-custodians@acme.example"
}
channels           = ["projects/acme-production/notificationChannels/1234567890"]
warehouse_channels = ["projects/acme-embeddings/notificationChannels/1234567890"]
