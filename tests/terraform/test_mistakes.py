"""Mistakes made on purpose, on a copy: each is found, and told so that it can be mended.

A plan takes seconds, so those that terraform accepts are made in one copy, and so are those that it refuses.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from terraform.checks import access, arrows, everything, functions, plan, request, runbooks, storage, tables
from terraform.checks.plan import REPOSITORY, Refused, Resource

MakeMistakes = Callable[..., Path]
TYPOS = {
    "public_acess_prevention": ("raw/bucket.tf", "public_access_prevention ", "public_acess_prevention "),
    "log_configuration": ("perimeter/network.tf", "  log_config {", "  log_configuration {"),
    'argument "name" is required': ("raw/topic.tf", "  name         = var.names.topic\n", ""),
    '"nam"': ("serving/heads.tf", "= google_storage_bucket.heads.name", "= google_storage_bucket.heads.nam"),
}
_TAG = '].name\n  role       = "roles/datacatalog.categoryFineGrainedReader"\n  member     = "group:'
_ENCRYPTION = "  encryption_configuration {\n    kms_key_name = var.key\n  }\n"
MISTAKES = {
    'google_storage_bucket.temp could be made public': ("raw/bucket.tf", '"enforced"', '"inherited"'),
    "google_pubsub_topic.events is encrypted by no key of ours": ("raw/topic.tf", "  kms_key_name = var.key\n", ""),
    'google_bigquery_table.of["embedding_event_v1"] is encrypted by no key of ours': (
        "warehouse/datasets.tf", _ENCRYPTION, "",
    ),
    "does not keep unacknowledged messages for 7 days": (
        "design/retention.tf", "7 * 24 * 60 * 60", "14 * 24 * 60 * 60",
    ),
    "keeps what was deleted": ("raw/bucket.tf", "_duration_seconds = 0", "_duration_seconds = 604800"),
    "is reached from outside of the network": ("serving/main.tf", "INTERNAL_ONLY", "ALL"),
    "scientist is granted WRITER on dataset snapshots": (
        "warehouse/read.tf",
        '"READER"\n  group_by_email = var.scientists',
        '"WRITER"\n  group_by_email = var.scientists',
    ),
    "scientist must not have roles/datacatalog.categoryFineGrainedReader on tag identifiers": (
        "warehouse/tags.tf", f'["vectors"{_TAG}', f'["identifiers"{_TAG}',
    ),
    "worker is granted roles/bigquery.dataOwner on table embedding_event_v1": (
        "warehouse/write.tf", "google_project_iam_custom_role.appender.name", '"roles/bigquery.dataOwner"',
    ),
    "allUsers must not have roles/pubsub.publisher on topic": (
        "raw/topic.tf", "member   = each.value", 'member   = "allUsers"',
    ),
    "embedding_event_v1 has the columns": ("design/tables.tf", "mode        = column.mode", 'mode        = "NULLABLE"'),
    "embedding_event_v1 has the clusters": ("design/tables.tf", "= table.cluster", "= reverse(table.cluster)"),
    "embedding_event_v1 has a required filter False": (
        "design/tables.tf", "try(table.partition.filter_required, false)", "false",
    ),
    "rejection_v1 has retention in days 30": ("design/retention.tf", "rejection_v1 = 90", "rejection_v1 = 30"),
    "The experiment enable_google_cloud_profiler is forbidden": (
        "design/job.tf", "stream.service_options,", 'stream.service_options, ["enable_google_cloud_profiler"],',
    ),
    "names nowhere-at-all": ("observability/alerts.tf", 'anchor = "revoke-a-token"', 'anchor = "nowhere-at-all"'),
    "No alert tells of rejections for encoder_failed": ("design/alerts.tf", '"encoder_failed", ', ""),
}  # fmt: skip
PARAMETERS = {
    "its workers have public addresses": {"ip_configuration": "WORKER_IP_PUBLIC"},
    "exception sampling is on": {"additional_experiments": ["no_use_multiple_sdk_containers"]},
    "each vCPU would load the encoder": {"additional_experiments": ["disable_always_on_exception_sampling"]},
    "a n2-standard-4 takes no accelerator": {"machine_type": "n2-standard-4"},
    "it does not run as the stream's worker": {"service_account_email": "1-compute@developer.gserviceaccount.com"},
    "is encrypted by no key of ours": {"kms_key_name": None},
    "The Beam option --nonsense is unknown": {"parameters": {"nonsense": "1"}},
    "The Beam option --save_main_session": {"parameters": {"save_main_session": "true"}},
    "The option --pseudonym_key may not be given": {"parameters": {"pseudonym_key": "c2VjcmV0"}},
    "do not fit": {"parameters": {"device": "cpu"}},
}


@pytest.fixture(scope="module")
def refusal(mistakes: MakeMistakes) -> str:
    """What Terraform says of all typos at once."""
    with pytest.raises(Refused) as refused:
        plan.planned(mistakes(*TYPOS.values()))
    return str(refused.value)


@pytest.fixture(scope="module")
def found(mistakes: MakeMistakes) -> list[str]:
    """Whatever the checks find in a copy with all mistakes."""
    return list(everything.faults(mistakes(*MISTAKES.values())))


@pytest.mark.parametrize("told", TYPOS)
def test_a_typo_is_refused(told: str, refusal: str) -> None:
    assert told in refusal


@pytest.mark.parametrize("told", MISTAKES)
def test_a_mistake_is_found(told: str, found: list[str]) -> None:
    assert any(told in fault for fault in found)


def test_checkov_finds_a_public_bucket_too(tmp_path: Path) -> None:
    """On a copy of one module alone, since it takes seconds."""
    shutil.copytree(REPOSITORY / "terraform" / "raw", tmp_path / "raw")
    bucket = tmp_path / "raw" / "bucket.tf"
    bucket.write_text(bucket.read_text(encoding="utf-8").replace('"enforced"', '"inherited"'), encoding="utf-8")

    assert "CKV_GCP_114" in _checkov(tmp_path)


@pytest.mark.parametrize("told", PARAMETERS)
def test_an_option_of_a_job_that_must_not_be_is_found(told: str, resources: list[Resource]) -> None:
    job = next(each for each in resources if each.type == request.JOB and "photo_upload" in each.address)
    parameters = {**job.values["parameters"], **PARAMETERS[told].get("parameters", {})}
    wrong = replace(job, values={**job.values, **PARAMETERS[told], "parameters": parameters})

    assert any(told in fault for fault in [*request.faults([wrong]), *storage.faults([wrong])])


def test_a_role_of_the_scientist_is_refused_even_where_the_file_allows_it(
    mistakes: MakeMistakes, resources: list[Resource]
) -> None:
    tree = mistakes(("access.yaml", "  READER: [dataset snapshots]", "  READER: [dataset snapshots, dataset subjects]"))
    values = {"dataset_id": "rawless_subjects", "role": "READER", "group_by_email": "data-scientists@acme.example"}
    wide = Resource("x.y", "google_bigquery_dataset_access", values)

    found = list(access.faults(tree, [*resources, wide]))

    assert found == ["scientist must not have READER on dataset subjects: a scientist sees snapshots alone"]


def test_a_grant_that_is_missing_is_found(resources: list[Resource]) -> None:
    left = [each for each in resources if not each.address.endswith("worker_reads_messages")]

    assert "gives worker roles/pubsub.subscriber on subscription, but no resource" in next(
        access.faults(REPOSITORY, left)
    )


def test_a_key_of_an_account_is_found(resources: list[Resource]) -> None:
    made = Resource("google_service_account_key.worker", "google_service_account_key", {})

    found = list(access.faults(REPOSITORY, [*resources, made]))

    assert len(found) == 1
    assert "google_service_account_key.worker must not be" in found[0]


def test_a_table_that_is_missing_or_one_too_many_is_found(resources: list[Resource]) -> None:
    def renamed(each: Resource) -> Resource:
        table = each.values.get("table_id")
        return replace(each, values={**each.values, "table_id": "drift_v2"}) if table == "drift_v1" else each

    found = list(tables.faults(REPOSITORY, [renamed(each) for each in resources]))

    assert found == ["The table drift_v1 of sql/ is not made", "The table drift_v2 is not one of sql/"]


def test_a_function_that_differs_from_sql_is_found(mistakes: MakeMistakes) -> None:
    file = "warehouse/functions/embedding_event.sql.tftpl"

    (found,) = functions.faults(mistakes((file, "delivery_number = 1", "delivery_number = 2")))

    assert found == f"terraform/{file} differs from sql/: run `python -m terraform.checks.functions`"


def test_an_arrow_that_is_nothing_is_found(mistakes: MakeMistakes, resources: list[Resource]) -> None:
    tree = mistakes(("README.md", "worker_appends_embeddings", "worker_appends_nothing"))

    nothing, undrawn = arrows.faults(tree / "terraform" / "README.md", resources)

    assert "draws module.warehouse.google_bigquery_table_iam_member.worker_appends_nothing, which" in nothing
    assert undrawn.endswith("does not draw module.warehouse.google_bigquery_table_iam_member.worker_appends_embeddings")


def test_an_alert_whose_runbook_has_no_such_heading_is_found(tmp_path: Path, resources: list[Resource]) -> None:
    (tmp_path / "docs").mkdir()
    headings = [anchor.replace("-", " ").capitalize() for anchor in runbooks.ANCHORS if anchor != "backlog"]
    (tmp_path / "docs" / "runbooks.md").write_text("".join(f"## {each}\n" for each in headings), encoding="utf-8")

    found = list(runbooks.faults(tmp_path, resources))

    assert len(found) == 2  # of each stream
    assert all("names backlog, which is no heading" in fault for fault in found)


def test_terraform_that_is_missing_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(FileNotFoundError):
        list(everything.faults())


def _checkov(folder: Path) -> set[str]:
    """The checks that fail on a folder, with the version that `make check` runs."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    (version,) = {word for word in makefile.split() if word.startswith("checkov==")}
    line = [str(Path(sys.executable).parent / "uv"), "tool", "run", "--quiet", version, "--directory", str(folder)]
    line += ["--framework", "terraform", "--skip-download", "--quiet", "--compact", "--output", "json"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return {each["check_id"] for each in json.loads(done.stdout)["results"]["failed_checks"]}
