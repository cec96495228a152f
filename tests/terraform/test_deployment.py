"""The deployment: every check passes on the real files, and further properties of their plan."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rawless.events.stream import load_stream
from rawless.metering.metric import in_smaller_unit
from rawless.metering.table import METRICS
from rawless.serving.config import load_config
from rawless.warehouse.config import load_warehouse_config
from terraform.checks import job_files, plan, request, schema, second_plan, suite
from terraform.checks.plan import REPOSITORY, Resource
from tests.terraform.conftest import MakeMistakes

pytestmark = pytest.mark.xdist_group("plans")  # in one process of the test run, so that each is made once
ROOT = REPOSITORY / "terraform"


@pytest.mark.full  # as `make check` does
def test_every_check_passes(resources: list[Resource]) -> None:
    assert not list(suite.plan_violations(REPOSITORY, resources))
    assert not list(request.violations(resources))


@pytest.mark.full  # as `make check` does
def test_a_second_plan_changes_nothing() -> None:
    assert not list(second_plan.violations(REPOSITORY))


def test_a_state_of_an_apply_is_not_what_a_plan_begins_with(mistakes: MakeMistakes) -> None:
    tree = mistakes()
    for root in plan.ROOTS:
        (tree / "terraform" / root / "terraform.tfstate").write_text("{}", encoding="utf-8")
        (tree / "terraform" / root / "terraform.tfstate.backup").write_text("{}", encoding="utf-8")

    with plan._copy(tree) as folder:
        assert [*folder.rglob("*.tfstate*")] == []


def _job_file(resources: list[Resource], stream: str) -> Resource:
    (found,) = [each for each in job_files.job_files(resources) if each.values["name"] == f"jobs/{stream}.json"]
    return found


def test_each_stream_has_a_job_file(resources: list[Resource]) -> None:
    assert {each.address for each in job_files.job_files(resources)} == {
        f'module.raw["{stream}"].google_storage_bucket_object.job_file'
        for stream in ("photo_upload", "support_message")
    }


def test_a_job_file_is_the_request_of_googles_api(resources: list[Resource]) -> None:
    request = job_files.parse(_job_file(resources, "photo_upload"))

    launch = request.launch_parameter
    assert (request.project_id, request.location) == ("acme-production", "europe-west4")
    assert launch.job_name == "rawless-photo-upload"
    assert launch.container_spec_gcs_path == "gs://acme-production-rawless-config/templates/rawless.json"
    assert launch.environment.autoscaling_algorithm.name == "AUTOSCALING_ALGORITHM_BASIC"
    assert launch.environment.launcher_machine_type == "e2-standard-2"
    assert dict(launch.environment.additional_user_labels) == {"app": "rawless", "stream": "photo_upload"}


def test_the_job_has_the_planned_options(resources: list[Resource]) -> None:
    launch = job_files.parse(_job_file(resources, "photo_upload"))

    job = request.render(launch)

    (pool,) = job.environment.worker_pools
    assert pool.worker_harness_container_image == launch.launch_parameter.environment.sdk_container_image
    assert "@sha256:" in pool.worker_harness_container_image
    assert (pool.machine_type, pool.disk_size_gb) == ("g2-standard-4", 100)
    assert pool.ip_configuration.name == "WORKER_IP_PRIVATE"
    assert pool.subnetwork == "regions/europe-west4/subnetworks/rawless-egress-denied"
    assert pool.num_threads_per_worker == 48
    assert (pool.num_workers, pool.autoscaling_settings.max_num_workers) == (1, 4)
    assert pool.autoscaling_settings.algorithm.name == "AUTOSCALING_ALGORITHM_BASIC"
    assert job.environment.service_account_email == "rawless-w-photo-upload@acme-production.iam.gserviceaccount.com"
    assert job.environment.service_kms_key_name.endswith("/keyRings/rawless/cryptoKeys/raw")
    assert dict(job.labels) == {"app": "rawless", "stream": "photo_upload"}
    assert set(job.environment.experiments) == {
        "disable_always_on_exception_sampling",
        "no_use_multiple_sdk_containers",
    }
    assert list(job.environment.service_options) == [
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx",
        "streaming_mode_at_least_once",
        "min_num_workers=1",
        "worker_utilization_hint=0.8",
    ]


def test_the_job_file_comes_from_the_tested_module() -> None:
    """Otherwise the tests of terraform/design would not test the options that are used."""
    assert "content      = var.request" in (ROOT / "raw" / "job.tf").read_text(encoding="utf-8")
    main = (ROOT / "main.tf").read_text(encoding="utf-8")
    assert re.search(r"^  request +=  *jsonencode\(module.design.jobs\[each.key\]\)$", main, re.MULTILINE)


def test_an_edit_of_a_file_that_a_job_reads_changes_the_job_file(
    resources: list[Resource], mistakes: MakeMistakes
) -> None:
    edited = plan.make_plan(
        mistakes(("example-stream.yaml", "modality: image", "# edited\nmodality: image")),
        "-var=pseudonym_key_version=2",
    )

    before, after = (
        job_files.parse(_job_file(each, "photo_upload")).launch_parameter.parameters for each in (resources, edited)
    )
    assert {name for name in before if before[name] != after[name]} == {"stream", "warehouse"}


def test_the_files_of_earlier_jobs_stay(resources: list[Resource]) -> None:
    """A launcher that has started, or starts from an earlier job file, still finds what the request names."""
    files = {each.values["name"]: each.values for each in resources if each.type == "google_storage_bucket_object"}

    for file in job_files.job_files(resources):
        parameters = job_files.parse(file).launch_parameter.parameters
        for parameter in ("stream", "warehouse"):
            name = parameters[parameter].split("/", 3)[3]
            assert files[name]["deletion_policy"] == "ABANDON"


def test_a_job_file_is_written_after_grants_and_egress_restrictions() -> None:
    text = (ROOT / "raw" / "job.tf").read_text(encoding="utf-8")

    assert "var.prerequisites" in text
    assert "module.warehouse.worker_grants, module.perimeter.barriers" in (ROOT / "main.tf").read_text(encoding="utf-8")


def test_the_generated_files_are_valid(resources: list[Resource], tmp_path: Path) -> None:
    files = {
        resource.values["name"]: resource.values["content"]
        for resource in resources
        if "bucket_object" in resource.type
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")

    config = load_warehouse_config(tmp_path / "warehouse.yaml")
    orchestrator, served = load_config(tmp_path / "orchestrator.yaml")
    encoder, _ = load_config(tmp_path / "encoder.yaml")
    classifier, _ = load_config(tmp_path / "classifier.yaml")

    assert config.pseudonym_secret == "projects/acme-production/secrets/rawless-pseudonym-key/versions/1"
    (photos,) = (tmp_path / "streams").glob("photo_upload-*.yaml")
    assert load_stream(photos).uri_prefixes == ("gs://acme-uploads/photos/",)
    assert set(served) == {"topic"}
    assert orchestrator.encoder is not None
    assert encoder.access is not None
    assert encoder.access.google is not None
    assert orchestrator.encoder.identity == "google"
    assert encoder.access.google.audience == orchestrator.encoder.url
    assert encoder.access.google.accounts == {
        "rawless-orchestrator@acme-production.iam.gserviceaccount.com": ("encode",)
    }
    assert str(classifier.head_folder) == "/heads"


def test_egress_is_restricted_to_protected_apis(resources: list[Resource]) -> None:
    rules = {
        resource.values["name"]: resource.values for resource in resources if resource.type == "google_compute_firewall"
    }
    allowed = [rule for rule in rules.values() if rule["allow"] and rule["direction"] == "EGRESS"]
    perimeters = {
        resource.address.split('"')[1]: resource.values["status"][0]
        for resource in resources
        if resource.type == "google_access_context_manager_service_perimeter"
    }
    out = {rule["title"]: rule for rule in perimeters["production"]["egress_policies"]}

    assert rules["rawless-egress-denied-deny"]["destination_ranges"] == ["0.0.0.0/0"]
    assert sorted(range_ for rule in allowed for range_ in rule["destination_ranges"]) == [
        "10.80.0.0/20",
        "199.36.153.4/30",
    ]
    for status in perimeters.values():
        assert status["vpc_accessible_services"][0]["allowed_services"] == ["RESTRICTED-SERVICES"]
    assert _calls(out["Embeddings to the warehouse"]["egress_to"][0]) == {
        "BigQueryWrite.AppendRows",
        "bigquery.tables.get",
        "bigquery.tables.getData",
    }
    assert len(out["Embeddings to the warehouse"]["egress_from"][0]["identities"]) == 4  # two jobs, two services
    assert perimeters["warehouse"]["egress_policies"] == []
    assert sorted(len(status["resources"]) for status in perimeters.values()) == [1, 2]  # with the audit project


def test_what_leaves_production_is_what_the_warehouse_lets_in_from_there(resources: list[Resource]) -> None:
    perimeters = {
        resource.address.split('"')[1]: resource.values["status"][0]
        for resource in resources
        if resource.type == "google_access_context_manager_service_perimeter"
    }
    leaving = {
        (frozenset(rule["egress_from"][0]["identities"]), frozenset(_calls(rule["egress_to"][0])))
        for rule in perimeters["production"]["egress_policies"]
        if set(rule["egress_to"][0]["resources"]) & set(perimeters["warehouse"]["resources"])
    }
    entering = {
        (frozenset(rule["ingress_from"][0]["identities"]), frozenset(_calls(rule["ingress_to"][0])))
        for rule in perimeters["warehouse"]["ingress_policies"]
        if any(source["resource"] for source in rule["ingress_from"][0]["sources"])
    }

    assert leaving == entering


def _calls(target: dict[str, Any]) -> set[str]:
    """The methods and permissions that a rule of a perimeter allows."""
    return {
        selector["method"] or selector["permission"]
        for operation in target["operations"]
        for selector in operation["method_selectors"]
    }


def dashboard_queries(resources: list[Resource]) -> str:
    (dashboard,) = [resource for resource in resources if resource.type == "google_monitoring_dashboard"]
    return "\n".join(
        tile["widget"]["xyChart"]["dataSets"][0]["timeSeriesQuery"]["prometheusQuery"]
        for tile in json.loads(dashboard.values["dashboard_json"])["mosaicLayout"]["tiles"]
    )


def test_the_dashboard_shows_metrics_that_jobs_have(resources: list[Resource]) -> None:
    shown = {
        re.sub(r"_(MEAN|COUNT)$", "", name).split(".")[0]
        for name in re.findall(r'metric_name=~?"([^"]+)"', dashboard_queries(resources))
    }

    assert shown > {"read", "batch_items", "decoder_deaths"}
    assert shown - {in_smaller_unit(each.name)[0] for each in METRICS} == set()


def test_nothing_on_the_dashboard_is_customer_data(resources: list[Resource]) -> None:
    queries = dashboard_queries(resources)
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", queries) for label in labels.split(",")}

    assert grouped == {"job_name", "metric_name", "subscription_id", "service_name", "response_code_class", "le"}


def test_the_alert_on_bigquery_matches_the_message_of_the_sink(resources: list[Resource]) -> None:
    metrics = {r.values["name"]: r.values for r in resources if r.type == "google_logging_metric"}
    (message,) = re.findall(r'"(The [^"]+)"', metrics["rawless/bigquery_away"]["filter"])

    assert message in (REPOSITORY / "rawless" / "warehouse" / "append.py").read_text(encoding="utf-8")


def test_break_glass_covers_every_bucket_with_content_one_by_one(resources: list[Resource]) -> None:
    ids = {r.values["entitlement_id"] for r in resources if r.type == "google_privileged_access_manager_entitlement"}

    assert ids == {"read-acme-uploads", "read-rawless-photo-upload-temp", "read-rawless-support-message-temp"}


def test_the_schema_contains_every_used_type_and_the_provider_version() -> None:
    stored = json.loads(schema.FILE.read_text(encoding="utf-8"))

    for kind, names in schema.used_types(ROOT).items():
        assert names <= {name for types in stored["providers"].values() for name in types[kind]}
    assert f"~> {stored['version']}" in (ROOT / "versions.tf").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.tf")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_small_and_its_variables_are_described(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r'^(?:variable|output) "\w+" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)

    assert len(text.splitlines()) <= 250
    assert all("description" in block for block in blocks)
    assert all(re.search(r"^  type +=", block, re.MULTILINE) for block in blocks if "value" not in block)


def test_the_access_list_has_every_kind_of_grantee() -> None:
    access = yaml.safe_load((ROOT / "access.yaml").read_text(encoding="utf-8"))

    assert {"publisher", "worker", "launcher", "builder", "scientist", "orchestrator", "eraser"} <= set(access)
