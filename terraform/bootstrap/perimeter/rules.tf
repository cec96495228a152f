# Who may cross the service perimeters, from where, and to call which methods. Google lists the names of methods and
# permissions: https://cloud.google.com/vpc-service-controls/docs/supported-method-restrictions.
locals {
  raw       = ["projects/${var.numbers.raw}"]
  warehouse = ["projects/${var.numbers.warehouse}"]
  audit     = ["projects/${var.numbers.audit}"]
  nowhere   = { levels = [], projects = [] }

  # A worker with a GPU installs the driver when it starts: Container-Optimized OS runs cos-gpu-installer, an image of
  # Google's project cos-cloud at gcr.io, which reads the driver and its signature from gs://cos-nvidia-gpu-drivers and
  # gs://cos-tools, -eu or -asia. Google publishes these names, and not the numbers of the projects.
  driver_projects = [for number in var.driver_projects : "projects/${number}"]

  from = { for group, origin in var.origins : group => {
    levels   = concat(tolist(origin.access_levels), [for each, level in google_access_context_manager_access_level.network : level.name if each == group])
    projects = []
  } }

  # Appending rows, and reading encoder_v1 without a query, because raw content would fit into the text of a query. The
  # methods of the Storage Write API belong to this service.
  append = [{
    service     = "bigquery.googleapis.com"
    methods     = ["BigQueryWrite.AppendRows"]
    permissions = ["bigquery.tables.get", "bigquery.tables.getData"]
  }]
  # The classifier receives embeddings, never raw content.
  read = [{
    service = "bigquery.googleapis.com"
    methods = []
    permissions = [
      "bigquery.jobs.create", "bigquery.jobs.get", "bigquery.readsessions.create", "bigquery.readsessions.getData",
      "bigquery.tables.get", "bigquery.tables.getData",
    ]
  }]
  query        = [{ service = "bigquery.googleapis.com", methods = ["*"], permissions = [] }]
  read_records = [{ service = "logging.googleapis.com", methods = ["*"], permissions = [] }]
  deliver_logs = [
    { service = "logging.googleapis.com", methods = ["*"], permissions = [] },
    {
      service     = "bigquery.googleapis.com", methods = [],
      permissions = ["bigquery.tables.create", "bigquery.tables.get", "bigquery.tables.update", "bigquery.tables.updateData"]
    },
  ]
  write_files = { service = "storage.googleapis.com", methods = ["google.storage.objects.create"], permissions = [] }

  # The delivery pipeline manages resources. It reads no message, no row and no secret. It may get objects, because
  # Terraform compares the configuration files with what is stored, and a perimeter cannot name a bucket: its role does.
  manage_everywhere = [for service in ["cloudkms", "logging"] :
    { service = "${service}.googleapis.com", methods = ["*"], permissions = [] }
  ]
  manage_raw = concat(local.manage_everywhere, [
    for service in ["artifactregistry", "compute", "dataflow", "monitoring", "run"] :
    { service = "${service}.googleapis.com", methods = ["*"], permissions = [] }
    ], [
    {
      service = "pubsub.googleapis.com"
      methods = [
        "IAMPolicy.GetIamPolicy", "IAMPolicy.SetIamPolicy", "Publisher.CreateTopic", "Publisher.DeleteTopic",
        "Publisher.GetTopic", "Publisher.UpdateTopic", "SchemaService.CreateSchema", "SchemaService.DeleteSchema",
        "SchemaService.GetSchema", "Subscriber.CreateSubscription", "Subscriber.DeleteSubscription",
        "Subscriber.GetSubscription", "Subscriber.UpdateSubscription",
      ]
      permissions = []
    },
    {
      service = "secretmanager.googleapis.com"
      methods = [for method in ["CreateSecret", "DeleteSecret", "GetIamPolicy", "GetSecret", "SetIamPolicy", "UpdateSecret"] :
        "google.cloud.secretmanager.v1.SecretManagerService.${method}"
      ]
      permissions = []
    },
    {
      service = "storage.googleapis.com"
      methods = concat(
        [for method in ["create", "delete", "get", "getIamPolicy", "setIamPolicy", "update"] : "google.storage.buckets.${method}"],
        [for method in ["create", "delete", "get", "list"] : "google.storage.objects.${method}"],
      )
      permissions = []
    },
  ])
  manage_warehouse = concat(local.manage_everywhere, [{ service = "monitoring.googleapis.com", methods = ["*"], permissions = [] }], [{
    service = "bigquery.googleapis.com"
    methods = []
    permissions = [for action in concat(
      [for pair in setproduct(["datasets", "routines", "tables"], ["create", "delete", "get", "list", "update"]) : join(".", pair)],
      ["datasets.getIamPolicy", "datasets.setIamPolicy", "tables.getIamPolicy", "tables.setCategory", "tables.setIamPolicy"],
    ) : "bigquery.${action}"]
  }])

  perimeters = {
    production = {
      title     = "Raw content"
      resources = local.raw
      egress = concat([
        { title = "Embeddings to the warehouse", identities = var.writers, to = local.warehouse, operations = local.append },
        { title = "Snapshots for the classifier", identities = var.readers, to = local.warehouse, operations = local.read },
        ], [
        # Lists too: an object that cannot be read is rejected if another one of its folder can, and retried for ever if none.
        for project, workers in var.claim_checks : {
          title = "Claim checks", identities = workers, to = ["projects/${project}"]
          operations = [{
            service = "storage.googleapis.com", methods = ["google.storage.objects.get", "google.storage.objects.list"], permissions = []
          }]
        }
        ], length(var.gpu_workers) == 0 || length(var.driver_projects) == 0 ? [] : [
        {
          title = "GPU driver", identities = var.gpu_workers, to = local.driver_projects
          operations = [{
            service = "storage.googleapis.com", methods = ["google.storage.objects.get", "google.storage.objects.list"], permissions = []
          }]
        },
        # An image at gcr.io is pulled by no identity that a rule could name, says
        # https://cloud.google.com/artifact-registry/docs/securing-with-vpc-sc. The projects are Google's, and nothing is written.
        {
          title = "Installer of the GPU driver", identities = [], to = local.driver_projects
          operations = [{
            service = "artifactregistry.googleapis.com", methods = ["artifactregistry.googleapis.com/DockerRead"], permissions = []
          }]
        },
      ])
      ingress = [
        {
          title = "Pseudonym key for the subject map", identities = var.identities.mappers, from = local.from.builders, to = local.raw
          operations = [{
            service     = "secretmanager.googleapis.com"
            methods     = ["google.cloud.secretmanager.v1.SecretManagerService.AccessSecretVersion"]
            permissions = []
          }]
        },
        {
          title = "Custodians of the pseudonym key", identities = var.identities.custodians, from = local.from.owners, to = local.raw
          operations = [{
            service     = "secretmanager.googleapis.com"
            methods     = ["google.cloud.secretmanager.v1.SecretManagerService.AddSecretVersion"]
            permissions = []
          }]
        },
        {
          title = "Producers", identities = var.identities.producers, from = local.from.producers, to = local.raw
          operations = [
            { service = "pubsub.googleapis.com", methods = ["Publisher.Publish"], permissions = [] }, local.write_files,
          ]
        },
        {
          title      = "Delivery pipeline", identities = var.identities.delivery, from = local.from.delivery, to = local.raw,
          operations = local.manage_raw
        },
        # The role comes with an approved grant for one bucket.
        {
          title = "Break-glass", identities = var.identities.break_glass, from = local.from.owners, to = local.raw
          operations = [{
            service = "storage.googleapis.com", methods = ["google.storage.objects.get", "google.storage.objects.list"], permissions = []
          }]
        },
      ]
    }
    # Nothing may leave it: a query cannot write its result to another project or bucket.
    warehouse = {
      title     = "Embeddings"
      resources = concat(local.warehouse, local.audit)
      egress    = []
      ingress = [
        {
          title = "Embeddings from production", identities = var.writers, from = merge(local.nowhere, { projects = local.raw }),
          to    = local.warehouse, operations = local.append
        },
        {
          title = "Classifier", identities = var.readers, from = merge(local.nowhere, { projects = local.raw }),
          to    = local.warehouse, operations = local.read
        },
        {
          title = "Dataset builders and subject mappers", identities = setunion(var.identities.builders, var.identities.mappers)
          from  = local.from.builders, to = local.warehouse, operations = local.query
        },
        {
          title = "Data scientists", identities = var.identities.scientists, from = local.from.scientists,
          to    = local.warehouse, operations = local.query
        },
        {
          title      = "Administrators", identities = var.identities.owners, from = local.from.owners, to = local.warehouse,
          operations = local.query
        },
        {
          title = "Auditors", identities = var.identities.auditors, from = local.from.auditors,
          to    = concat(local.warehouse, local.audit), operations = concat(local.query, local.read_records)
        },
        {
          title      = "Audit logs", identities = var.log_writers
          from       = merge(local.nowhere, { levels = [google_access_context_manager_access_level.log_delivery.name] })
          to         = concat(local.warehouse, local.audit)
          operations = local.deliver_logs
        },
        {
          title = "Delivery pipeline", identities = var.identities.delivery, from = local.from.delivery,
          to    = concat(local.warehouse, local.audit), operations = local.manage_warehouse
        },
      ]
    }
  }
}
