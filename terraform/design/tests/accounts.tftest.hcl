run "one_account_with_two_duties_is_refused" {
  command = plan
  variables {
    accounts = {
      deployers = ["terraform@acme-build.iam.gserviceaccount.com"]
      launchers = ["delivery@acme-build.iam.gserviceaccount.com"]
      mappers   = ["data@acme-embeddings.iam.gserviceaccount.com"]
      erasers   = []
      builders  = ["data@acme-embeddings.iam.gserviceaccount.com"]
      managers  = []
    }
  }
  expect_failures = [var.accounts]
}

run "a_person_is_refused" {
  command = plan
  variables {
    accounts = { deployers = ["ann@acme.example"], launchers = [], mappers = [], erasers = [], builders = [], managers = [] }
  }
  expect_failures = [var.accounts]
}
