run "names_consist_of_prefix_and_subject" {
  command = plan

  assert {
    condition     = output.streams["digit_upload"].topic == "rawless-digit-upload" && output.streams["digit_upload"].job == "rawless-digit-upload"
    error_message = "Topic and job must be named after prefix and stream."
  }
  assert {
    condition     = output.names.datasets.subjects == "rawless_subjects"
    error_message = "A dataset must be named after prefix and role."
  }
  assert {
    condition     = length(distinct(values(output.names.datasets))) == 5
    error_message = "The five datasets must be different."
  }
}

run "the_longest_names_fit" {
  command = plan
  variables {
    prefix      = "rawlessr"
    raw_project = "abcdefghijklmnopqrstuvwxyz1234"
    streams     = { abcdefghij_abcdefg = { file = "tests/uploads.yaml" } }
  }

  assert {
    condition     = max([for name in ["temp_bucket", "staging_bucket"] : length(output.streams["abcdefghij_abcdefg"][name])]...) <= 63
    error_message = "A bucket name must have at most 63 characters."
  }
  assert {
    condition     = length(output.streams["abcdefghij_abcdefg"].worker_account) <= 30
    error_message = "An account name must have at most 30 characters."
  }
  assert {
    condition     = output.streams["abcdefghij_abcdefg"].claim_check_buckets == tolist(["acme-uploads", "acme-scans"])
    error_message = "The claim check buckets must be those of the stream file, without duplicates."
  }
}

run "a_stream_has_the_name_in_its_file" {
  command = plan
  variables {
    streams = { other_name = { file = "tests/uploads.yaml" } }
  }
  expect_failures = [var.streams]
}

run "the_warehouse_must_be_another_project" {
  command = plan
  variables {
    warehouse_project = "acme-production"
  }
  expect_failures = [var.warehouse_project]
}

run "an_image_must_be_named_by_its_digest" {
  command = plan
  variables {
    image = "europe-west4-docker.pkg.dev/acme-production/rawless/rawless:latest"
  }
  expect_failures = [var.image]
}

run "the_warehouse_file_names_a_version_of_the_key" {
  command = plan
  variables {
    pseudonym_key_version = 3
  }

  assert {
    condition     = output.warehouse_file.pseudonym_secret == "projects/acme-production/secrets/rawless-pseudonym-key/versions/3"
    error_message = "The warehouse file must name the secret's version."
  }
}

run "the_warehouse_file_names_the_image_of_the_workers" {
  command = plan

  assert {
    condition     = output.warehouse_file.worker_image == var.image
    error_message = "A job must refuse another image for its workers."
  }
}

run "a_file_that_a_job_reads_is_named_after_its_content" {
  command = plan

  assert {
    condition     = output.streams["digit_upload"].stream_file == "streams/digit_upload-${substr(filesha256("../../examples/digit_upload/stream.yaml"), 0, 12)}.yaml"
    error_message = "The stream file's name must contain the hash of its content, so that an edit changes the job file."
  }
  assert {
    condition     = endswith(output.jobs["digit_upload"].launchParameter.parameters.stream, output.streams["digit_upload"].stream_file)
    error_message = "The job must read the stream file that is written."
  }
  assert {
    condition     = output.names.job_warehouse == "warehouse-${substr(sha256(yamlencode(output.warehouse_file)), 0, 12)}.yaml"
    error_message = "The warehouse file's name must contain the hash of its content."
  }
  assert {
    condition     = endswith(output.jobs["digit_upload"].launchParameter.parameters.warehouse, output.names.job_warehouse)
    error_message = "The job must read the warehouse file that is written."
  }
}
