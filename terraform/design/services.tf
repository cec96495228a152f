# APIs of each project. `rawless doctor` names those that are disabled.
locals {
  apis = {
    raw = [
      "artifactregistry.googleapis.com", "binaryauthorization.googleapis.com", "bigquery.googleapis.com", "bigquerystorage.googleapis.com",
      "cloudkms.googleapis.com", "compute.googleapis.com", "dataflow.googleapis.com", "dns.googleapis.com",
      "iam.googleapis.com", "logging.googleapis.com", "monitoring.googleapis.com", "orgpolicy.googleapis.com",
      "privilegedaccessmanager.googleapis.com", "pubsub.googleapis.com", "run.googleapis.com", "secretmanager.googleapis.com", "storage.googleapis.com",
    ]
    audit = ["cloudkms.googleapis.com", "iam.googleapis.com", "logging.googleapis.com", "orgpolicy.googleapis.com"]
    warehouse = [
      "bigquery.googleapis.com", "bigquerydatapolicy.googleapis.com", "bigquerystorage.googleapis.com",
      "cloudkms.googleapis.com", "datacatalog.googleapis.com", "iam.googleapis.com", "logging.googleapis.com",
      "monitoring.googleapis.com", "orgpolicy.googleapis.com",
    ]
  }

  # Services that encrypt with customer-managed keys. Each service agent is granted its key before the key is used.
  keys = {
    raw       = { project = "raw", agents = ["pubsub", "storage", "dataflow", "compute"] }
    secret    = { project = "raw", agents = ["secretmanager"] }
    serving   = { project = "raw", agents = ["run", "storage"] }
    warehouse = { project = "warehouse", agents = ["bigquery"] }
    audit     = { project = "audit", agents = ["logging"] }
  }
}
