# The job file of each stream: the request by which `rawless job` launches it, in the words of Google's REST API
# (LaunchFlexTemplateRequest). docs/dataflow.md explains the options. Everything in it is known when Terraform plans, so
# that `make check` reads it with Google's own classes (terraform/checks/request.py).
locals {
  # Without the first, Dataflow writes failed elements to the temp bucket. Without the second it starts one process per
  # vCPU, each with its own encoder: they would share the accelerator's memory, but no batches.
  experiments = ["disable_always_on_exception_sampling", "no_use_multiple_sdk_containers"]

  # Dataflow refuses a launch whose parameters do not match the template's patterns.
  template              = jsondecode(file("${path.module}/../template/metadata.json"))
  accepted_by_parameter = { for parameter in local.template.parameters : parameter.name => parameter.regexes[0] }

  jobs = { for name, stream in var.streams : name => {
    projectId = var.raw_project
    location  = var.region
    launchParameter = {
      jobName              = local.streams[name].job
      containerSpecGcsPath = "gs://${local.config_bucket}/templates/${var.prefix}.json"
      environment = {
        sdkContainerImage     = var.image
        machineType           = stream.machine_type
        launcherMachineType   = stream.launcher_machine_type
        diskSizeGb            = stream.disk_size_gb
        numWorkers            = stream.min_workers
        maxWorkers            = stream.max_workers
        autoscalingAlgorithm  = "AUTOSCALING_ALGORITHM_BASIC"
        enableStreamingEngine = true
        ipConfiguration       = "WORKER_IP_PRIVATE"
        serviceAccountEmail   = "${local.streams[name].worker_account}@${var.raw_project}.iam.gserviceaccount.com"
        subnetwork            = "regions/${var.region}/subnetworks/${local.network}"
        kmsKeyName            = "projects/${var.raw_project}/locations/${var.region}/keyRings/${var.prefix}/cryptoKeys/raw"
        tempLocation          = "gs://${local.streams[name].temp_bucket}/temp"
        stagingLocation       = "gs://${local.streams[name].staging_bucket}/staging"
        additionalExperiments = concat(local.experiments, stream.experiments)
        additionalUserLabels  = { app = var.prefix, stream = name }
      }
      parameters = {
        stream    = "gs://${local.config_bucket}/${local.streams[name].stream_file}"
        source    = "pubsub:projects/${var.raw_project}/subscriptions/${local.streams[name].subscription}"
        warehouse = "gs://${local.config_bucket}/${local.job_warehouse_file}"
        device    = stream.accelerator == "" ? "cpu" : "cuda"
        # Dataflow options for which the launch request has no field.
        number_of_worker_harness_threads = tostring(stream.threads)
        dataflow_service_options = join(",", concat(
          stream.accelerator == "" ? [] : ["worker_accelerator=type:${stream.accelerator};count:1;install-nvidia-driver:5xx"],
          stream.at_least_once ? ["streaming_mode_at_least_once"] : [],
          ["min_num_workers=${stream.min_workers}", "worker_utilization_hint=${stream.utilization_hint}"],
          stream.service_options,
        ))
      }
    }
  } }
}
