"""Deliberate mistakes in a copy of the files: each is found and described.

A plan takes seconds, so all mistakes that Terraform accepts are made in one copy, and all that it rejects in another.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from terraform.checks import access, diagrams, functions, job_files, plan, request, runbooks, suite, tables
from terraform.checks.plan import REPOSITORY, PlanError, Resource

# Each plan takes seconds; `make check` makes that of the files as they are.
pytestmark = pytest.mark.full
MakeMistakes = Callable[..., Path]
TYPOS = {
    "public_acess_prevention": ("raw/bucket.tf", "public_access_prevention ", "public_acess_prevention "),
    "log_configuration": ("perimeter/network.tf", "  log_config {", "  log_configuration {"),
    'argument "name" is required': ("raw/topic.tf", "  name         = var.names.topic\n", ""),
    '"nam"': ("serving/heads.tf", "= google_storage_bucket.heads.name", "= google_storage_bucket.heads.nam"),
}
_TAG = '].name\n  role       = "roles/datacatalog.categoryFineGrainedReader"\n  member     = "group:'
_QUERIES = 'role    = "roles/bigquery.jobUser"\n  member  = '
_BUILDERS, _NOBODY = "= var.dataset_builders", "= toset([])"
_JOB = """resource "google_dataflow_flex_template_job" "ingest" {
  provider                = google-beta
  name                    = "a-job"
  container_spec_gcs_path = "gs://a-bucket/a.json"
  max_workers             = 4
}

"""
_ENCRYPTION = "  encryption_configuration {\n    kms_key_name = var.key\n  }\n"
MISTAKES = {
    'google_storage_bucket.temp could be made public': ("raw/bucket.tf", '"enforced"', '"inherited"'),
    'google_kms_crypto_key.of["raw"] is kept in software': ("keys/main.tf", '= "HSM"', '= "SOFTWARE"'),
    "google_pubsub_topic.events is not encrypted with a customer-managed key": (
        "raw/topic.tf", "  kms_key_name = var.key\n", "",
    ),
    'google_bigquery_table.of["embedding_event_v1"] is not encrypted with a customer-managed key': (
        "warehouse/datasets.tf", _ENCRYPTION, "",
    ),
    "does not keep unacknowledged messages for 7 days": (
        "design/retention.tf", "7 * 24 * 60 * 60", "14 * 24 * 60 * 60",
    ),
    "keeps deleted objects": ("raw/bucket.tf", "_duration_seconds = 0", "_duration_seconds = 604800"),
    "can be reached from outside of the network": ("serving/main.tf", "INTERNAL_ONLY", "ALL"),
    "scientist is granted WRITER on dataset snapshots": (
        "warehouse/read.tf",
        '"READER"\n  group_by_email = var.scientists',
        '"WRITER"\n  group_by_email = var.scientists',
    ),
    "scientist must not have roles/datacatalog.categoryFineGrainedReader on tag identifiers": (
        "warehouse/tags.tf", f'["vectors"{_TAG}', f'["identifiers"{_TAG}',
    ),
    "eraser must not have roles/datacatalog.categoryFineGrainedReader on tag vectors": (
        "warehouse/erase.tf", 'of["identifiers"].name', 'of["vectors"].name',
    ),
    "worker is granted roles/bigquery.dataOwner on table embedding_event_v1": (
        "warehouse/write.tf", "google_project_iam_custom_role.appender.name", '"roles/bigquery.dataOwner"',
    ),
    "worker must not have roles/bigquery.jobUser on warehouse project": (
        "warehouse/write.tf", f"{_QUERIES}var.services.classifier", f"{_QUERIES}values(var.workers)[0]",
    ),
    "The custom role row_reader has the permissions ['bigquery.tables.export'], but": (
        "warehouse/write.tf", '["bigquery.tables.get", "bigquery.tables.getData"]', '["bigquery.tables.export"]',
    ),
    "terraform/access.yaml lists row_reader on table waiver_v1 for orchestrator, but no resource grants it": (
        "warehouse/write.tf",
        '"orchestrator_reads_gate" {\n  for_each   = toset(local.gate)',
        '"orchestrator_reads_gate" {\n  for_each   = toset(["leakage_audit_v1"])',
    ),
    "worker must not have appender on table waiver_v1: what the leakage gate holds back must not open it": (
        "warehouse/write.tf",
        "row_reader.name\n  member     = var.workers[",
        "appender.name\n  member     = var.workers[",
    ),
    "classifier must not have appender on table stream_pointer_v1: what follows the pointers must not move them": (
        "warehouse/write.tf",
        "local.pointer.table_id\n  role       = google_project_iam_custom_role.row_reader.name\n"
        "  member     = each.value\n}\n\n# A job, and",
        "local.pointer.table_id\n  role       = google_project_iam_custom_role.appender.name\n"
        "  member     = each.value\n}\n\n# A job, and",
    ),
    "encoder manager must not have WRITER on dataset events: it deletes rows, but no table": (
        "warehouse/manage_encoders.tf", '"READER"', '"WRITER"',
    ),
    "auditor must not have roles/bigquery.dataEditor on table waiver_v1": (
        "warehouse/records.tf",
        'google_project_iam_custom_role.appender.name\n  member     = "group:${var.auditors}"',
        '"roles/bigquery.dataEditor"\n  member     = "group:${var.auditors}"',
    ),
    "allUsers must not have roles/pubsub.publisher on topic": (
        "raw/topic.tf", "member   = each.value", 'member   = "allUsers"',
    ),
    "The custom role worker must not have storage.objects.get": (
        "access.tf", '"dataflow.jobs.get", ', '"dataflow.jobs.get", "storage.objects.get", ',
    ),
    "lets the worker of photo-upload reach another stream": (
        "raw/topic.tf",
        '.ingest.name\n  role         = "roles/pubsub.subscriber"',
        '.ingest.name == "" ? "" : "rawless-support-message-ingest"\n  role         = "roles/pubsub.subscriber"',
    ),
    "The custom role staging_reader must not replace objects": (
        "access.tf",
        '["storage.buckets.get", "storage.objects.create", "storage.objects.get",',
        '["storage.objects.delete", "storage.objects.create", "storage.objects.get",',
    ),
    "builder must not have WRITER on dataset subjects": (
        "warehouse/read.tf",
        '.of["subjects"].dataset_id\n  role          = "READER"',
        '.of["subjects"].dataset_id\n  role          = "WRITER"',
    ),
    "mapper must not have roles/datacatalog.categoryFineGrainedReader on tag vectors": (
        "warehouse/tags.tf",
        '"mapper_sees_identifiers" {\n  for_each   = var.subject_mappers\n'
        '  policy_tag = google_data_catalog_policy_tag.of["identifiers"]',
        '"mapper_sees_identifiers" {\n  for_each   = var.subject_mappers\n'
        '  policy_tag = google_data_catalog_policy_tag.of["vectors"]',
    ),
    "terraform/access.yaml lists tagger on dataset snapshots for builder, but no resource grants it": (
        "warehouse/tags.tf",
        f'_tags_vectors" {{\n  for_each      {_BUILDERS}',
        f'_tags_vectors" {{\n  for_each      {_NOBODY}',
    ),
    "terraform/access.yaml lists roles/datacatalog.viewer on taxonomy for builder, but no resource grants it": (
        "warehouse/tags.tf",
        f'_sees_taxonomy" {{\n  for_each {_BUILDERS}',
        f'_sees_taxonomy" {{\n  for_each {_NOBODY}',
    ),
    "scientist must not have roles/bigquery.dataEditor on table head_v1": (
        "warehouse/records.tf", "google_project_iam_custom_role.appender.name", '"roles/bigquery.dataEditor"',
    ),
    "module.warehouse.google_monitoring_alert_policy.changed_records names nowhere-at-all": (
        "warehouse/records.tf",
        'changed: docs/runbooks.md#changed-records"\n    content   = "Follow docs/runbooks.md#changed-records',
        'changed: docs/runbooks.md#nowhere-at-all"\n    content   = "Follow docs/runbooks.md#nowhere-at-all',
    ),
    '.break_glass["acme-uploads"] lasts for more than 8 hours': (
        "bootstrap/break_glass.tf", "* 60 * 60", "* 60 * 60 * 24",
    ),
    '.break_glass["acme-uploads"] needs no justification': (
        "bootstrap/break_glass.tf", " unstructured {}", " not_mandatory {}",
    ),
    '.break_glass["acme-uploads"] needs no approval by another group': (
        "bootstrap/break_glass.tf",
        'principals = ["group:${var.break_glass.approvers}"]',
        'principals = ["group:${var.break_glass.readers}"]',
    ),
    "grants roles/storage.objectViewer on more than the objects of one bucket": (
        "bootstrap/break_glass.tf", "projects/_/buckets/${each.value}/", "projects/_/buckets/",
    ),
    '.of["encoder"] does not run the `service` image': (
        "serving/main.tf", " image = var.image", ' command = ["sh"]\n image = var.image',
    ),
    '.of["classifier"] has the startup_probe /healthz, but Cloud Run keeps paths that end with z': (
        "serving/main.tf", 'path = "/health"', 'path = each.key == "classifier" ? "/healthz" : "/health"',
    ),
    '.of["orchestrator"] would go on with the files that it read': (
        "serving/main.tf", '"${file}${var.warehouse}"', 'role == "orchestrator" ? "" : "${file}${var.warehouse}"',
    ),
    '.of["encoder"] reads streams/other.yaml, which is no object of the plan': (
        "design/serving.tf",
        "lookup(local.stream_files, head.stream, head.stream)",
        '"streams/other.yaml"',
    ),
    '.of["encoder"] is exempt from Binary Authorization': ("serving/main.tf", "use_default = true", "policy = null"),
    "google_binary_authorization_policy.attested admits images without": (
        "serving/images.tf", "ENFORCED_BLOCK_AND_AUDIT_LOG", "DRYRUN_AUDIT_LOG_ONLY",
    ),
    "topics.attachSubscription is denied except to deployer, mapper, but": (
        "bootstrap/deny.tf",
        'snapshots.create"]\n      except      = [for member in local.deployers',
        'snapshots.create"]\n      except      = [for member in setunion(local.deployers, local.mappers)',
    ),
    "versions.access is denied except to everybody, but": ("bootstrap/deny.tf", "/versions.access", "/secrets.delete"),
    "embedding_event_v1 has the columns": ("design/tables.tf", "mode        = column.mode", 'mode        = "NULLABLE"'),
    "embedding_event_v1 has the clusters": ("design/tables.tf", "= table.cluster", "= reverse(table.cluster)"),
    "embedding_event_v1 has a required filter False": (
        "design/tables.tf", "try(table.partition.filter_required, false)", "false",
    ),
    "The table snapshot_v1 is not one of sql/ that Terraform creates": (
        "design/tables.tf", " if !try(table.per_snapshot, false)", "",
    ),
    "rejection_v1 has retention in days 30": ("design/tables.tf", "try(table.partition.days, null)", "30"),
    "Invalid enum value THROUGHPUT_BASED for enum type google.dataflow.v1beta3.AutoscalingAlgorithm": (
        "design/job.tf",
        '"AUTOSCALING_ALGORITHM_BASIC"',
        'name == "support_message" ? "THROUGHPUT_BASED" : "AUTOSCALING_ALGORITHM_BASIC"',
    ),
    '.google_dataflow_flex_template_job.ingest would be changed by every apply, since what is read differs in max_w': (
        "raw/job.tf", 'resource "google_storage_bucket_object" "job_file"',
        f'{_JOB}resource "google_storage_bucket_object" "job_file"',
    ),
    "The custom role launcher must not snapshot jobs": (
        "access.tf", '"dataflow.jobs.list",', '"dataflow.jobs.list", "dataflow.jobs.snapshot",',
    ),
    "The experiment enable_google_cloud_profiler is forbidden": (
        "design/job.tf", "stream.service_options,", 'stream.service_options, ["enable_google_cloud_profiler"],',
    ),
    "lets “Pseudonym key for the subject map” in from *, which is no access level": (
        "bootstrap/perimeter/perimeter.tf",
        "access_level = sources.value",
        'access_level = rule.value.title == "Pseudonym key for the subject map" ? "*" : sources.value',
    ),
    "allows “Embeddings to the warehouse” every method of bigquery.googleapis.com": (
        "bootstrap/perimeter/rules.tf", '["BigQueryWrite.AppendRows"]', '["*"]',
    ),
    "allows “Embeddings from production” to call bigquery.jobs.create": (
        "bootstrap/perimeter/rules.tf",
        'permissions = ["bigquery.tables.get", "bigquery.tables.getData"]',
        'permissions = ["bigquery.tables.get", "bigquery.jobs.create"]',
    ),
    "allows “Producers” to call Subscriber.Pull": (
        "bootstrap/perimeter/rules.tf", '["Publisher.Publish"]', '["Publisher.Publish", "Subscriber.Pull"]',
    ),
    "lets “Classifier” in from anywhere": (
        "bootstrap/perimeter/rules.tf",
        'title = "Classifier", identities = var.readers, from = merge(local.nowhere, { projects = local.raw })',
        'title = "Classifier", identities = var.readers, from = local.nowhere',
    ),
    "google_logging_project_bucket_config.records is not locked": (
        "audit/records.tf", "  locked           = true\n", "",
    ),
    "google_logging_project_bucket_config.records is not encrypted": (
        "audit/records.tf", "  cmek_settings {\n    kms_key_name = var.key\n  }\n", "",
    ),
    "The records of acme-audit are not kept completely": (
        "audit/records.tf",
        "for_each               = var.projects",
        'for_each = { raw = var.projects.raw, warehouse = var.projects.warehouse }',
    ),
    "table_access copies records with object names, queries or errors": (
        "audit/access.tf", " NOT protoPayload.status.message:*", "",
    ),
    'everything["raw"] does not log what serviceAccount:rawless-w-photo-upload@': (
        "audit/logged.tf",
        "log_type = audit_log_config.value",
        "log_type = audit_log_config.value\n exempted_members = var.workers",
    ),
    "Not every call in acme-production is logged": (
        "audit/logged.tf", '"DATA_READ", "DATA_WRITE"', '"DATA_READ"',
    ),
    "resolves names of the internet": ("perimeter/dns.tf", 'dns_name        = "*."', 'dns_name        = "*.example."'),
    "resolves github.com.": (
        "perimeter/dns.tf", '{ machines = "internal." }', '{ machines = "internal.", hub = "github.com." }',
    ),
    "does not log which names are asked for": ("perimeter/dns.tf", "enable_logging = true", "enable_logging = false"),
    "acme-production has no policy compute.requireOsLogin": (
        "bootstrap/policies/main.tf", '"compute.requireOsLogin", ', "",
    ),
    "acme-embeddings has the policy gcp.restrictCmekCryptoKeyProjects {'allowed': ['projects/acme-keys']}": (
        "bootstrap/policies/main.tf", '["projects/${var.project}"]', '["projects/acme-keys"]',
    ),
    "acme-audit has the policy compute.vmExternalIpAccess {}": (
        "bootstrap/policies/main.tf", '      deny_all = "TRUE"\n', "",
    ),
    "A worker cannot reach gcr.io (Dataflow's own images): no zone resolves gcr.io.": (
        "perimeter/dns.tf", 'containers = "gcr.io."', 'containers = "cloud.run."',
    ),
    "A worker cannot reach bigquerystorage.googleapis.com (the rows that it writes): bigquerystorage is no": (
        "bootstrap/perimeter/perimeter.tf", '"bigquerystorage.googleapis.com",', "",
    ),
    "rawless-w-photo-upload@acme-production.iam.gserviceaccount.com cannot install the GPU driver: no rule of egress "
    "allows artifactregistry.googleapis.com/DockerRead": (
        "bootstrap/perimeter/rules.tf", "googleapis.com/DockerRead", "googleapis.com/DockerWrite",
    ),
    "does not name the identities of “GPU driver”": (
        "bootstrap/perimeter/rules.tf", "identities = var.gpu_workers", "identities = []",
    ),
    "google_logging_log_view_iam_member needs logging.views.setIamPolicy, which the deployer does not have": (
        "bootstrap/deployer.tf", '"logging.views" = ["getIamPolicy", "setIamPolicy"]', '"logging.views" = ["get"]',
    ),
    "needs monitoring, for which the perimeter does not let deployers in": (
        "bootstrap/perimeter/rules.tf",
        'concat(local.manage_everywhere, [{ service = "monitoring.googleapis.com"',
        'concat(local.manage_everywhere, [{ service = "cloudkms.googleapis.com"',
    ),
    "google_dns_policy needs dns.networks.bindPrivateDNSPolicy, which the deployer does not have in acme-production": (
        "bootstrap/deployer.tf", '"roles/dns.admin", ', "",
    ),
    "google_iam_deny_policy needs iam.denypolicies.create, which the administrator of the organisation does not have": (
        "rights.yaml", "roles/iam.denyAdmin, roles/orgpolicy", "roles/orgpolicy",
    ),
    "deployer must not have roles/storage.objectUser on production project": (
        "bootstrap/deployer.tf", '.config_bucket}/\\")"', '.config_bucket}/\\") || true"',
    ),
    "names nowhere-at-all": ("observability/alerts.tf", 'anchor = "revoke-a-token"', 'anchor = "nowhere-at-all"'),
    "No alert counts rejections for encoder_failed": ("design/alerts.tf", '"encoder_failed", ', ""),
}  # fmt: skip
ENVIRONMENT = {
    "its workers have public addresses": {"ipConfiguration": "WORKER_IP_UNSPECIFIED"},
    "exception sampling is on": {"additionalExperiments": ["no_use_multiple_sdk_containers"]},
    "every vCPU would load the encoder": {"additionalExperiments": ["disable_always_on_exception_sampling"]},
    "the machine type n2-standard-4 supports no accelerator": {"machineType": "n2-standard-4"},
    "its code is in the bucket of its temporary files": {
        "stagingLocation": "gs://acme-production-rawless-photo-upload-temp/staging"
    },
    "it does not run as the stream's worker": {"serviceAccountEmail": "1-compute@developer.gserviceaccount.com"},
    "is not encrypted with a customer-managed key": {"kmsKeyName": ""},
    "it does not scale with the backlog": {"autoscalingAlgorithm": "AUTOSCALING_ALGORITHM_NONE"},
    "it asks for 1 to 0 workers": {"maxWorkers": 0},
    "Couldn't parse integer: 4.5": {"maxWorkers": 4.5},
    'no field named "max_num_workers"': {"max_num_workers": 4},
    "it names 'regions/europe-west4/subnetworks/default', which": {
        "subnetwork": "regions/europe-west4/subnetworks/default"
    },
    "its workers have Dataflow's default disk": {"diskSizeGb": 0},
    "its labels do not have the form that Google accepts": {"additionalUserLabels": {"App": "rawless"}},
    "`rawless job` would not find it by its labels": {"additionalUserLabels": {}},
    "which option of Beam worker_zone: europe-west4-a becomes": {"workerZone": "europe-west4-a"},
    "which option of Beam autoscaling_algorithm: 7 becomes": {"autoscalingAlgorithm": 7},
}
PARAMETERS = {
    "The Beam option --nonsense is unknown": {"nonsense": "1"},
    "the template has no parameter nonsense": {"nonsense": "1"},
    "The option experiments is in the environment and among": {"experiments": "no_use_multiple_sdk_containers"},
    "The Beam option --save_main_session": {"save_main_session": "true"},
    "The option --pseudonym_key may not be given": {"pseudonym_key": "c2VjcmV0"},
    "do not match": {"device": "cpu"},
    "too old for torch: install-nvidia-driver:5xx is missing": {
        "dataflow_service_options": "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    },
    "the template's pattern for device refuses 'gpu'": {"device": "gpu"},
    "it names 'gs://acme-production-rawless-config/streams/photo_upload.yaml', which the plan does not create": {
        "stream": "gs://acme-production-rawless-config/streams/photo_upload.yaml"
    },
}


@pytest.fixture(scope="module")
def plan_error(mistakes: MakeMistakes) -> str:
    """Terraform's error messages for all typos."""
    with pytest.raises(PlanError) as error:
        plan.make_plan(mistakes(*TYPOS.values()))
    return str(error.value)


@pytest.fixture(scope="module")
def violations(mistakes: MakeMistakes) -> list[str]:
    """Every violation in a copy with all mistakes."""
    return list(suite.violations(mistakes(*MISTAKES.values())))


@pytest.mark.parametrize("message", TYPOS)
def test_a_typo_is_an_error(message: str, plan_error: str) -> None:
    assert message in plan_error


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_found(message: str, violations: list[str]) -> None:
    assert any(message in violation for violation in violations)


def test_checkov_finds_a_public_bucket_too(tmp_path: Path) -> None:
    """Checks a copy of one module only, because checkov takes seconds."""
    shutil.copytree(REPOSITORY / "terraform" / "raw", tmp_path / "raw")
    bucket = tmp_path / "raw" / "bucket.tf"
    bucket.write_text(bucket.read_text(encoding="utf-8").replace('"enforced"', '"inherited"'), encoding="utf-8")

    assert "CKV_GCP_114" in _checkov(tmp_path)


@pytest.mark.parametrize("message", ENVIRONMENT)
def test_a_mistake_in_the_environment_of_a_job_file_is_found(message: str, resources: list[Resource]) -> None:
    assert any(message in violation for violation in _job_violations(resources, environment=ENVIRONMENT[message]))


@pytest.mark.parametrize("message", PARAMETERS)
def test_a_mistake_in_the_parameters_of_a_job_file_is_found(message: str, resources: list[Resource]) -> None:
    assert any(message in violation for violation in _job_violations(resources, parameters=PARAMETERS[message]))


def _job_violations(resources: list[Resource], **changed: dict[str, Any]) -> list[str]:
    """The violations after changes of parts of a job file."""
    files = job_files.job_files(resources)
    file = next(each for each in files if "photo_upload" in each.address)
    content = json.loads(file.values["content"])
    for part, values in changed.items():
        content["launchParameter"][part] |= values
    wrong = replace(file, values={**file.values, "content": json.dumps(content)})
    rest = [each for each in resources if each not in files]
    return list(request.violations([*rest, wrong]))


def test_a_forbidden_role_of_the_scientist_is_found_even_if_the_file_allows_it(
    mistakes: MakeMistakes, resources: list[Resource]
) -> None:
    tree = mistakes(("access.yaml", "  READER: [dataset snapshots]", "  READER: [dataset snapshots, dataset subjects]"))
    values = {"dataset_id": "rawless_subjects", "role": "READER", "group_by_email": "data-scientists@acme.example"}
    wide = Resource("x.y", "google_bigquery_dataset_access", values)

    violations = list(access.violations(tree, [*resources, wide]))

    assert violations == ["scientist must not have READER on dataset subjects: a scientist may only read snapshots"]


def test_a_grant_that_is_missing_is_found(resources: list[Resource]) -> None:
    rest = [resource for resource in resources if not resource.address.endswith("worker_reads_messages")]

    violation = next(access.violations(REPOSITORY, rest))

    assert "lists roles/pubsub.subscriber on subscription for worker, but no resource" in violation


def test_an_account_key_is_found(resources: list[Resource]) -> None:
    key = Resource("google_service_account_key.worker", "google_service_account_key", {})

    violations = list(access.violations(REPOSITORY, [*resources, key]))

    assert len(violations) == 1
    assert "google_service_account_key.worker is forbidden" in violations[0]


def test_a_missing_table_and_an_unknown_table_are_found(resources: list[Resource]) -> None:
    def rename(resource: Resource) -> Resource:
        if resource.values.get("table_id") != "drift_v1":
            return resource
        return replace(resource, values={**resource.values, "table_id": "drift_v2"})

    violations = list(tables.violations(REPOSITORY, [rename(resource) for resource in resources]))

    assert violations == [
        "The table drift_v1 of sql/ is not in the plan",
        "The table drift_v2 is not one of sql/ that Terraform creates",
    ]


def test_a_function_that_differs_from_sql_is_found(mistakes: MakeMistakes) -> None:
    file = "warehouse/functions/embedding_event.sql.tftpl"

    (violation,) = functions.violations(mistakes((file, "delivery_number = 1", "delivery_number = 2")))

    assert violation == f"terraform/{file} differs from sql/: run `python -m terraform.checks.functions`"


def test_an_arrow_without_a_resource_is_found(mistakes: MakeMistakes, resources: list[Resource]) -> None:
    tree = mistakes(("README.md", "worker_appends_embeddings", "worker_appends_nothing"))

    unknown, missing = diagrams.violations(tree / "terraform" / "README.md", resources)

    assert "shows module.warehouse.google_bigquery_table_iam_member.worker_appends_nothing, which" in unknown
    assert missing.endswith("does not show module.warehouse.google_bigquery_table_iam_member.worker_appends_embeddings")


def test_an_alert_without_a_section_in_the_runbooks_is_found(tmp_path: Path, resources: list[Resource]) -> None:
    (tmp_path / "docs").mkdir()
    anchors = runbooks.headings(REPOSITORY / runbooks.RUNBOOKS) - {"backlog"}
    headings = [anchor.replace("-", " ").capitalize() for anchor in anchors]
    (tmp_path / "docs" / "runbooks.md").write_text("".join(f"## {heading}\n" for heading in headings), encoding="utf-8")

    violations = list(runbooks.violations(tmp_path, resources))

    assert len(violations) == 2  # one per stream
    assert all("names backlog, which is no heading" in violation for violation in violations)


def test_the_checks_fail_without_terraform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(FileNotFoundError):
        list(suite.violations())


def _checkov(folder: Path) -> set[str]:
    """The ids of the checks that fail on a folder, in the version that `make check` runs."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    (version,) = {word for word in makefile.split() if word.startswith("checkov==")}
    line = [str(Path(sys.executable).parent / "uv"), "tool", "run", "--quiet", version, "--directory", str(folder)]
    line += ["--framework", "terraform", "--skip-download", "--quiet", "--compact", "--output", "json"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return {check["check_id"] for check in json.loads(done.stdout)["results"]["failed_checks"]}
