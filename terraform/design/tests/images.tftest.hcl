run "services_do_not_run_the_image_of_the_workers" {
  command = plan
  variables {
    service_image = var.image
  }
  expect_failures = [var.service_image]
}

run "services_need_an_image" {
  command = plan
  variables {
    service_file = "../example-service.yaml"
    callers      = ["shop@acme-shop.iam.gserviceaccount.com"]
  }
  expect_failures = [var.service_image]
}

run "an_attestor_has_a_full_name" {
  command = plan
  variables {
    attestor = "build"
  }
  expect_failures = [var.attestor]
}
