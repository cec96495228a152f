# The options of each stream's job; docs/dataflow.md explains them.
locals {
  # Without the first, Dataflow writes failed elements to the temp bucket. Without the second it starts one process per
  # vCPU, each with its own encoder: they would share the accelerator's memory, but no batches.
  experiments = ["disable_always_on_exception_sampling", "no_use_multiple_sdk_containers"]

  jobs = { for name, stream in var.streams : name => {
    name                    = local.streams[name].job
    sdk_container_image     = var.image
    machine_type            = stream.machine_type
    num_workers             = stream.min_workers
    max_workers             = stream.max_workers
    autoscaling_algorithm   = "THROUGHPUT_BASED"
    enable_streaming_engine = true
    ip_configuration        = "WORKER_IP_PRIVATE"
    on_delete               = "drain"
    additional_experiments  = concat(local.experiments, stream.experiments)
    temp_location           = "gs://${local.streams[name].temp_bucket}/temp"
    staging_location        = "gs://${local.streams[name].staging_bucket}/staging"
    labels                  = { app = var.prefix, stream = name }
    parameters = {
      stream    = "gs://${local.config_bucket}/streams/${name}.yaml"
      source    = "pubsub:projects/${var.raw_project}/subscriptions/${local.streams[name].subscription}"
      warehouse = "gs://${local.config_bucket}/warehouse.yaml"
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
  } }
}
