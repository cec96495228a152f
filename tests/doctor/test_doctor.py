"""`rawless doctor --warehouse FILE` against a small server of Google's APIs: what is missing, and how to fix it."""

import json
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from encoders.catalogue import lookup
from pipelines.launch import IngestRequest, prepare
from rawless.cli.main import run
from rawless.errors import UserError
from rawless.events.sources.jsonl import JsonlSource
from rawless.events.stream import Stream
from rawless.warehouse import tables
from rawless.warehouse.config import WarehouseConfig
from tests.fake_google import FakeGoogle, credentials_file, fake_google, refused

PLACES = {
    "project": "a-warehouse",
    "location": "EU",
    "events": "events",
    "snapshots": "snapshots",
    "builds": "builds",
    "subjects": "subjects",
    "audit": "audit",
    "pseudonym_secret": "projects/a-warehouse/secrets/pseudonym/versions/1",
}
ACCOUNT = "worker@a-project.iam.gserviceaccount.com"
KEY = "projects/a-project/locations/europe-west4/keyRings/r/cryptoKeys/raw"
SUBSCRIPTION = "projects/a-project/subscriptions/support"
IMAGE = f"an-image@sha256:{'0' * 64}"
L4 = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx"
OPTIONS = [
    "--runner=DataflowRunner", "--project=a-project", "--region=europe-west4", f"--service_account_email={ACCOUNT}",
    f"--dataflow_kms_key={KEY}", f"--sdk_container_image={IMAGE}", "--no_use_public_ips",
    "--disk_size_gb=100", "--max_num_workers=4", "--machine_type=g2-standard-4", f"--dataflow_service_options={L4}",
]  # fmt: skip
Doctor = Callable[..., list[dict[str, Any]]]
REGION = "GET /compute/compute/v1/projects/a-project/regions/europe-west4"
PROJECT = "GET /compute/compute/v1/projects/a-project"
OWN = "POST /cloudresourcemanager/v1/projects/{}:testIamPermissions"
ACTING = f"POST /iam/v1/projects/-/serviceAccounts/{ACCOUNT}:testIamPermissions"
POLICY = "POST /cloudresourcemanager/v1/projects/a-project:getIamPolicy"
READER = f"GET /pubsub/v1/{SUBSCRIPTION}:getIamPolicy"
SECRET = "GET /secretmanager/v1/projects/a-warehouse/secrets/pseudonym"
TABLE = "GET /bigquery/bigquery/v2/projects/a-warehouse/datasets/events/tables/rejection_v1"


def _services(project: str, *names: str, off: str = "") -> dict[str, Any]:
    return {
        "services": [
            {"config": {"name": f"{name}.googleapis.com"}, "state": "DISABLED" if name == off else "ENABLED"}
            for name in names
        ]
    }


def _policy(role: str, member: str = f"serviceAccount:{ACCOUNT}") -> dict[str, Any]:
    return {"version": 1, "etag": "BwY", "bindings": [{"role": role, "members": [member]}]}


def _quota(metric: str, limit: float, usage: float = 0.0) -> dict[str, Any]:
    return {"metric": metric, "limit": limit, "usage": usage}


JOB_APIS = ("artifactregistry", "cloudkms", "compute", "dataflow", "logging", "monitoring", "pubsub", "storage")
SERVICES = "GET /serviceusage/v1/projects/{}/services:batchGet"


def _table(name: str) -> dict[str, Any]:
    """Return a table as BigQuery's REST API describes it."""
    config = WarehouseConfig.model_validate(PLACES)
    dataset = getattr(config, tables.table(name).dataset)
    return tables.table(name).to_bigquery(f"{config.project}.{dataset}.{name}").to_api_repr()


def _whole() -> dict[str, Any]:
    """Return the answers of a project where nothing is missing."""
    bigquery = "GET /bigquery/bigquery/v2/projects/a-warehouse/datasets"
    return {
        SERVICES.format("a-warehouse"): _services("a-warehouse", "bigquery", "bigquerystorage", "secretmanager"),
        SERVICES.format("a-project"): _services("a-project", *JOB_APIS),
        OWN.format("a-warehouse"): lambda request: (200, request),
        OWN.format("a-project"): lambda request: (200, request),
        ACTING: lambda request: (200, request),
        POLICY: _policy("projects/a-project/roles/acme_worker"),
        READER: _policy("roles/pubsub.subscriber"),
        f"{SECRET}:getIamPolicy": _policy("roles/secretmanager.secretAccessor"),
        SECRET: {"name": "projects/1/secrets/pseudonym", "replication": {"automatic": {}}},
        f"{SECRET}/versions/1": {"name": "projects/1/secrets/pseudonym/versions/1", "state": "ENABLED"},
        f"GET /cloudkms/v1/{KEY}": {
            "name": KEY,
            "primary": {"name": f"{KEY}/cryptoKeyVersions/3", "state": "ENABLED"},
            "purpose": "ENCRYPT_DECRYPT",
            "rotationPeriod": "7776000s",
        },
        REGION: {"name": "europe-west4", "quotas": [_quota("CPUS", 24), _quota("NVIDIA_L4_GPUS", 8, 2)]},
        PROJECT: {"name": "a-project", "quotas": [_quota("GPUS_ALL_REGIONS", 8)]},
        **{f"{bigquery}/{PLACES[role]}": {"id": f"a-warehouse:{role}", "location": "EU"} for role in tables.ROLES},
        **{f"{bigquery}/{tables.table(name).dataset}/tables/{name}": _table(name) for name in tables.names()},
    }


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    """Google's APIs where nothing is missing, and credentials for them."""
    with fake_google() as google:
        google.answers |= _whole()
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials_file(google, tmp_path)))
        monkeypatch.setattr("rawless.doctor.google.ENDPOINT", google.url + "/{service}")
        yield google


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The warehouse file."""
    path = tmp_path / "warehouse.yaml"
    path.write_text(yaml.safe_dump(PLACES))
    return path


@pytest.fixture
def missing(google: FakeGoogle, file: Path, capfd: pytest.CaptureFixture[str]) -> Doctor:
    """Return a function that runs the preflight of a job and returns the failed checks."""

    def look(*beam: str, changed: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        google.answers |= changed or {}
        capfd.readouterr()
        source = f"pubsub:{SUBSCRIPTION}"
        code = run(["doctor", "--warehouse", str(file), "--source", source, "--json", "--", *(beam or OPTIONS)])
        printed, errors = capfd.readouterr()
        assert errors == ""
        found = [each for each in json.loads(printed) if not each["ok"]]
        assert code == (2 if found else 0)
        assert all(each["command"] and "\n" not in each["detail"] + each["command"] for each in found)
        return found

    return look


def test_nothing_is_missing_in_a_whole_project(missing: Doctor, google: FakeGoogle) -> None:
    assert missing() == []
    assert {request.split()[0] for request in google.requests if "Permissions" not in request} <= {"GET", "POST"}
    assert not any("access" in request for request in google.requests)  # no key is read


GONE = refused(404, "NOT_FOUND")
NOTHING: dict[str, Any] = {}
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "an API": (
        {SERVICES.format("a-project"): _services("a-project", *JOB_APIS, off="dataflow")},
        "The API dataflow.googleapis.com is disabled in a-project.",
        "gcloud services enable dataflow.googleapis.com --project=a-project",
    ),
    "a quota of GPUs": (
        {REGION: {"quotas": [_quota("CPUS", 24), _quota("NVIDIA_L4_GPUS", 4, 1)]}},
        "The quota NVIDIA_L4_GPUS in europe-west4 is 4 with 1 used, but the job may need 4 more.",
        "gcloud beta quotas preferences create --service=compute.googleapis.com --project=a-project "
        "--quota-id=NVIDIA-L4-GPUS-per-project-region --preferred-value=5 --dimensions=region=europe-west4",
    ),
    "a quota over all regions": (
        {PROJECT: {"quotas": []}},
        "The quota GPUS_ALL_REGIONS in all regions is 0 with 0 used, but the job may need 4 more.",
        "gcloud beta quotas preferences create --service=compute.googleapis.com --project=a-project "
        "--quota-id=GPUS-ALL-REGIONS-per-project --preferred-value=4",
    ),
    "a permission of one's own": (
        {OWN.format("a-warehouse"): NOTHING},
        "This account lacks bigquery.jobs.create in a-warehouse.",
        "gcloud projects add-iam-policy-binding a-warehouse --member=user:$(gcloud config get account) "
        "--role=roles/bigquery.jobUser",
    ),
    "acting as the worker": (
        {ACTING: NOTHING},
        f"This account may not launch a job as {ACCOUNT}.",
        f"gcloud iam service-accounts add-iam-policy-binding {ACCOUNT} --member=user:$(gcloud config get account) "
        "--role=roles/iam.serviceAccountUser",
    ),
    "the worker's account": (
        {ACTING: GONE},
        f"The service account {ACCOUNT} does not exist.",
        "gcloud iam service-accounts create worker --project=a-project",
    ),
    "the worker's role": (
        {POLICY: _policy("roles/dataflow.worker", "user:someone@a-project.example")},
        f"serviceAccount:{ACCOUNT} lacks projects/a-project/roles/rawless_worker on the project a-project.",
        f"gcloud projects add-iam-policy-binding a-project --member=serviceAccount:{ACCOUNT} "
        "--role=projects/a-project/roles/rawless_worker",
    ),
    "the subscription's reader": (
        {READER: NOTHING},
        f"serviceAccount:{ACCOUNT} lacks roles/pubsub.subscriber on {SUBSCRIPTION}.",
        f"gcloud pubsub subscriptions add-iam-policy-binding {SUBSCRIPTION} --member=serviceAccount:{ACCOUNT} "
        "--role=roles/pubsub.subscriber",
    ),
    "the secret's reader": (
        {f"{SECRET}:getIamPolicy": NOTHING},
        f"serviceAccount:{ACCOUNT} lacks roles/secretmanager.secretAccessor on the secret pseudonym.",
        f"gcloud secrets add-iam-policy-binding pseudonym --project=a-warehouse --member=serviceAccount:{ACCOUNT} "
        "--role=roles/secretmanager.secretAccessor",
    ),
    "the pseudonym key's version": (
        {f"{SECRET}/versions/1": {"state": "DISABLED"}},
        "Version 1 of the secret pseudonym is DISABLED.",
        "gcloud secrets versions enable 1 --secret=pseudonym --project=a-warehouse",
    ),
    "the encryption key": (
        {f"GET /cloudkms/v1/{KEY}": GONE},
        f"The key {KEY} does not exist.",
        "gcloud kms keys create raw --keyring=r --location=europe-west4 --project=a-project --purpose=encryption "
        "--protection-level=hsm --rotation-period=90d --next-rotation-time=$(date -ud +90days +%FT%TZ)",
    ),
    "the encryption key's rotation": (
        {f"GET /cloudkms/v1/{KEY}": {"name": KEY, "primary": {"state": "ENABLED"}}},
        f"The key {KEY} is never rotated.",
        "gcloud kms keys update raw --keyring=r --location=europe-west4 --project=a-project --rotation-period=90d "
        "--next-rotation-time=$(date -ud +90days +%FT%TZ)",
    ),
    "the right to look": (
        {REGION: refused(403, "PERMISSION_DENIED")},
        "This account lacks the permission to check every quota: grant it roles/compute.viewer.",
        "gcloud projects add-iam-policy-binding a-project --member=user:$(gcloud config get account) "
        "--role=roles/compute.viewer",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_what_is_missing_is_reported_with_the_command_that_fixes_it(what: str, missing: Doctor) -> None:
    changed, detail, command = CASES[what]

    (found,) = missing(changed=changed)

    assert (found["detail"], found["command"]) == (detail, command)


def test_the_commands_for_a_missing_secret_and_version_create_a_key(missing: Doctor) -> None:
    (without,) = missing(changed={f"{SECRET}/versions/1": GONE})
    (gone,) = missing(changed={SECRET: GONE})

    assert "has no version 1" in without["detail"]
    assert without["command"].endswith("| gcloud secrets versions add pseudonym --project=a-warehouse --data-file=-")
    assert gone["command"].endswith("| gcloud secrets create pseudonym --project=a-warehouse --data-file=-")


def test_tables_and_datasets_that_are_missing_or_differ_are_named(missing: Doctor, file: Path) -> None:
    dataset = "GET /bigquery/bigquery/v2/projects/a-warehouse/datasets/audit"
    other = _table("encoder_v1")
    other["schema"]["fields"][0]["type"] = "INT64"
    address = "GET /bigquery/bigquery/v2/projects/a-warehouse/datasets/events/tables/encoder_v1"

    found = {each["detail"]: each["command"] for each in missing(changed={dataset: GONE, TABLE: GONE, address: other})}

    assert (
        found.pop("The dataset a-warehouse:audit does not exist.") == "bq --location=EU mk --dataset a-warehouse:audit"
    )
    made = f"rawless encoder list --warehouse {file}"
    assert found.pop("The table a-warehouse.events.rejection_v1 does not exist.") == made
    ((detail, command),) = found.items()
    assert "encoder_v1 differs from sql/encoder_v1/schema.yaml: the column name is INT64 REQUIRED" in detail
    assert command == "bq show --schema a-warehouse:events.encoder_v1"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--experiments=enable_data_sampling", "The experiment enable_data_sampling is forbidden"),
        ("--save_main_session", "The Beam option --save_main_session is forbidden"),
        ("--no_such=option", "The Beam option --no_such is unknown"),
        ("--dataflow_service_options=enable_google_cloud_profiler", "a profiler reads the worker's memory"),
    ],
)
def test_a_forbidden_option_is_named_and_left_out_of_the_command(option: str, sentence: str, missing: Doctor) -> None:
    (found,) = missing(*OPTIONS, option)

    assert found["check"] == "option"
    assert sentence in found["detail"]
    assert missing(*shlex.split(found["command"].partition(" -- ")[2])) == []


def test_another_image_than_the_configured_one_is_refused_by_the_job_and_by_its_preflight(
    missing: Doctor, file: Path, tmp_path: Path, stream: Stream
) -> None:
    configured = f"our-image@sha256:{'1' * 64}"
    file.write_text(yaml.safe_dump({**PLACES, "worker_image": configured}))
    sentence = "but the warehouse file has worker_image: our-image"

    (found,) = missing()
    request = IngestRequest(
        JsonlSource(str(tmp_path), stream.max_bytes), warehouse=file, beam=["--sdk_container_image=theirs"]
    )
    with pytest.raises(UserError, match=sentence):
        prepare(request, stream)

    assert (found["check"], sentence in found["detail"]) == ("option", True)
    assert missing(*(each.replace(IMAGE, configured) for each in OPTIONS)) == []


def test_a_command_quotes_no_key(missing: Doctor) -> None:
    (found,) = missing(*OPTIONS, "--pseudonym_key=MARKER", "--other_key", "MARKER")

    assert "MARKER" not in json.dumps(found)


@pytest.mark.parametrize(
    "option", ["no_use_public_ips", "region", "service_account_email", "sdk_container_image", "disk_size_gb"]
)
def test_an_option_that_protects_content_is_required(option: str, missing: Doctor) -> None:
    found = missing(*(each for each in OPTIONS if not each.startswith(f"--{option}")))

    assert [each["detail"].split()[2] for each in found if each["check"] == "option"] == [f"--{option}"]


@pytest.mark.parametrize(("size", "is_enough"), [(30, False), (49, False), (50, True)])
def test_a_disk_that_the_unpacked_image_fills_is_named(size: int, is_enough: bool, missing: Doctor) -> None:
    found = missing(*(each.replace("disk_size_gb=100", f"disk_size_gb={size}") for each in OPTIONS))

    assert [each["detail"].split()[2] for each in found] == ([] if is_enough else ["--disk_size_gb"])


@pytest.mark.parametrize(
    ("requested", "sentence"),
    [
        ("", "workers would see no GPU"),
        (";install-nvidia-driver", "workers may get a driver that is too old for torch"),
    ],
)
def test_an_accelerator_without_the_driver_that_torch_needs_is_named(
    requested: str, sentence: str, missing: Doctor
) -> None:
    (found,) = missing(*(each.replace(";install-nvidia-driver:5xx", requested) for each in OPTIONS))

    assert sentence in found["detail"]
    assert f"{L4}'" in found["command"]


def test_without_options_only_the_warehouse_is_checked(
    google: FakeGoogle, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    google.answers[TABLE] = GONE

    assert run(["doctor", "--warehouse", str(file)]) == 2

    printed = capfd.readouterr().out
    assert "FAIL table: The table a-warehouse.events.rejection_v1 does not exist.\n     rawless encoder list" in printed
    assert "ok   api: bigquery.googleapis.com is enabled in a-warehouse" in printed
    assert not any("a-project/" in request for request in google.requests)


def test_a_warehouse_without_a_key_is_reported(
    google: FakeGoogle, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file.write_text(yaml.safe_dump({**PLACES, "pseudonym_secret": None}))

    assert run(["doctor", "--warehouse", str(file)]) == 2
    assert "FAIL key: The warehouse file has no pseudonym_secret" in capfd.readouterr().out


MISTAKES = [
    (["--warehouse", "{none}"], "does not exist: check the path"),
    (["--source", f"pubsub:{SUBSCRIPTION}"], "only checked with --warehouse FILE"),
    (["--warehouse", "{file}", "--source", "jsonl:x"], "a job on Dataflow reads only from pubsub:"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES)
def test_a_mistake_is_answered_in_one_sentence(
    arguments: list[str], sentence: str, google: FakeGoogle, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [each.format(file=file, none=file.with_name("none")) for each in arguments]

    assert run(["doctor", *given]) == 2
    assert sentence in capfd.readouterr().err


def test_an_unavailable_api_is_reported(google: FakeGoogle, file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    google.answers[SERVICES.format("a-warehouse")] = refused(503, "UNAVAILABLE")

    assert run(["doctor", "--warehouse", str(file)]) == 1
    assert "serviceusage did not answer (HTTPError); run the command again." in capfd.readouterr().err


def test_without_credentials_the_login_command_is_suggested(
    file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file.with_name("none.json")))

    assert run(["doctor", "--warehouse", str(file)]) == 2
    assert "run `gcloud auth application-default login`" in capfd.readouterr().err


GATED = {
    "stream": "message", "modality": "text", "encoders": ["minilm@1.0.0"],
    "leakage": {"max": {"words_f1": 0.5}, "max_age": "90d"},
}  # fmt: skip


def _rows(name: str, *rows: dict[str, str]) -> dict[str, Any]:
    """Return rows as BigQuery's REST API lists them."""
    columns = tables.table(name).columns
    defaults = {column.name: "0" for column in columns if column.mode == "REQUIRED"}
    listed = [{"f": [{"v": (defaults | row).get(column.name)} for column in columns]} for row in rows]
    return {"totalRows": str(len(rows)), "rows": listed}


@pytest.mark.parametrize(("high", "passes"), [("0.4", True), ("0.675", False)])
def test_the_state_of_a_streams_gate_is_said(
    high: str, passes: bool, google: FakeGoogle, file: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", google.url)
    stream = tmp_path / "stream.yaml"
    stream.write_text(yaml.safe_dump(GATED))
    now = f"{datetime.now(UTC).timestamp() * 1e6:.0f}"
    row = {"encoder_fingerprint": lookup("minilm@1.0.0").fingerprint, "metric": "words_f1", "audited_at": now}
    row |= {"auxiliary_rows": "3000"}
    path = "GET /bigquery/v2/projects/a-warehouse/datasets/audit/tables/{}/data"
    google.answers |= {
        path.format("leakage_audit_v1"): _rows("leakage_audit_v1", {**row, "value": "0.3", "high": high}),
        path.format("waiver_v1"): _rows("waiver_v1"),
    }

    code = run(["doctor", "--warehouse", str(file), "--stream", str(stream), "--json"])

    printed, errors = capfd.readouterr()
    assert errors == ""
    (found,) = [each for each in json.loads(printed) if each["check"] == "gate"]
    assert (found["ok"], code) == (passes, 0 if passes else 2)
    assert f"minilm@1.0.0: words_f1 is up to {float(high):.3f} in the audit of" in found["detail"]
    waive = f"rawless audit waive --stream {stream} --encoder minilm@1.0.0 --warehouse {file} --metric words_f1"
    assert found["command"].startswith("" if passes else waive)
