run "a_job_encodes_on_one_accelerator_in_one_process" {
  command = plan

  assert {
    condition = contains(
      split(",", output.jobs["digit_upload"].launchParameter.parameters.dataflow_service_options),
      "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx"
    )
    error_message = "The accelerator must be a service option, with its driver."
  }
  assert {
    condition     = output.jobs["digit_upload"].launchParameter.environment.machineType == "g2-standard-4"
    error_message = "An L4 needs a g2 machine."
  }
  assert {
    condition     = alltrue([for each in values(output.jobs) : contains(each.launchParameter.environment.additionalExperiments, "no_use_multiple_sdk_containers")])
    error_message = "Each worker must have a single process."
  }
  assert {
    condition     = !strcontains(output.jobs["support_message"].launchParameter.parameters.dataflow_service_options, "worker_accelerator")
    error_message = "A job on CPUs must not request an accelerator."
  }
}

run "a_job_samples_nothing_and_has_no_public_address" {
  command = plan

  assert {
    condition     = alltrue([for each in values(output.jobs) : contains(each.launchParameter.environment.additionalExperiments, "disable_always_on_exception_sampling")])
    error_message = "Failed elements must not be sampled."
  }
  assert {
    condition     = alltrue([for each in values(output.jobs) : each.launchParameter.environment.ipConfiguration == "WORKER_IP_PRIVATE"])
    error_message = "Workers must have private addresses only."
  }
}

run "a_job_has_a_disk_for_its_image_and_a_launcher_of_two_cores" {
  command = plan

  assert {
    condition     = alltrue([for each in values(output.jobs) : each.launchParameter.environment.diskSizeGb == 100])
    error_message = "The boot disk must hold the image, packed and unpacked."
  }
  assert {
    condition     = alltrue([for each in values(output.jobs) : each.launchParameter.environment.launcherMachineType == "e2-standard-2"])
    error_message = "The launcher must unpack the image before its time is up."
  }
}

run "a_disk_that_is_smaller_than_the_image_is_refused" {
  command = plan
  variables {
    streams = { digit_upload = { file = "../../examples/digit_upload/stream.yaml", disk_size_gb = 25 } }
  }
  expect_failures = [var.streams]
}

run "a_launcher_of_no_known_form_is_refused" {
  command = plan
  variables {
    streams = { digit_upload = { file = "../../examples/digit_upload/stream.yaml", launcher_machine_type = "small" } }
  }
  expect_failures = [var.streams]
}

run "more_workers_than_dataflow_starts_are_refused" {
  command = plan
  variables {
    streams = { digit_upload = { file = "../../examples/digit_upload/stream.yaml", max_workers = 1001 } }
  }
  expect_failures = [var.streams]
}

run "at_least_once_can_be_disabled" {
  command = plan
  variables {
    streams = { digit_upload = { file = "../../examples/digit_upload/stream.yaml", at_least_once = false } }
  }

  assert {
    condition     = !strcontains(output.jobs["digit_upload"].launchParameter.parameters.dataflow_service_options, "streaming_mode_at_least_once")
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

run "a_service_option_that_the_template_does_not_have_is_refused" {
  command = plan
  variables {
    streams = { digit_upload = { file = "../../examples/digit_upload/stream.yaml", service_options = ["enable_prime"] } }
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
