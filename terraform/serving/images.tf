# Only images that the build pipeline has attested run in the project, whoever deploys them. Binary Authorization does not
# cover Dataflow: a job refuses every image but `worker_image` of the warehouse file.
resource "google_binary_authorization_policy" "attested" {
  project                       = var.project
  global_policy_evaluation_mode = "ENABLE" # Google's own system images

  default_admission_rule {
    evaluation_mode         = "REQUIRE_ATTESTATION"
    enforcement_mode        = "ENFORCED_BLOCK_AND_AUDIT_LOG"
    require_attestations_by = [var.attestor]
  }
}
