run "a_job_encodes_on_one_accelerator_in_one_process" {
  command = plan

  assert {
    condition = contains(
      split(",", output.jobs["digit_upload"].parameters.dataflow_service_options),
      "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx"
    )
    error_message = "The accelerator must be a service option, with its driver."
  }
  assert {
    condition     = output.jobs["digit_upload"].machine_type == "g2-standard-4"
    error_message = "An L4 needs a g2 machine."
  }
  assert {
    condition     = alltrue([for each in values(output.jobs) : contains(each.additional_experiments, "no_use_multiple_sdk_containers")])
    error_message = "Each worker must have a single process."
  }
  assert {
    condition     = !strcontains(output.jobs["support_message"].parameters.dataflow_service_options, "worker_accelerator")
    error_message = "A job on CPUs must not request an accelerator."
  }
}

run "a_job_samples_nothing_and_has_no_public_address" {
  command = plan

  assert {
    condition     = alltrue([for each in values(output.jobs) : contains(each.additional_experiments, "disable_always_on_exception_sampling")])
    error_message = "Failed elements must not be sampled."
  }
  assert {
    condition     = alltrue([for each in values(output.jobs) : each.ip_configuration == "WORKER_IP_PRIVATE"])
    error_message = "Workers must have private addresses only."
  }
  assert {
    condition     = alltrue([for each in values(output.jobs) : each.on_delete == "drain"])
    error_message = "A job that is replaced must be drained."
  }
}

run "at_least_once_can_be_disabled" {
  command = plan
  variables {
    streams = { digit_upload = { file = "../../examples/digit_upload/stream.yaml", at_least_once = false } }
  }

  assert {
    condition     = !strcontains(output.jobs["digit_upload"].parameters.dataflow_service_options, "streaming_mode_at_least_once")
    error_message = "Without the option Dataflow processes exactly once."
  }
}

run "a_service_option_that_samples_memory_is_refused" {
  command = plan
  variables {
    streams = { digit_upload = { file = "../../examples/digit_upload/stream.yaml", service_options = ["enable_google_cloud_profiler=x"] } }
  }
  expect_failures = [var.streams]
}

run "an_experiment_that_samples_elements_is_refused" {
  command = plan
  variables {
    streams = { digit_upload = { file = "../../examples/digit_upload/stream.yaml", experiments = ["enable_data_sampling"] } }
  }
  expect_failures = [var.streams]
}

run "an_accelerator_needs_a_machine_that_takes_it" {
  command = plan
  variables {
    streams = { digit_upload = { file = "../../examples/digit_upload/stream.yaml", accelerator = "nvidia-tesla-t4" } }
  }
  expect_failures = [var.streams]
}
