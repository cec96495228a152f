"""The Flex Template: the parameters that its metadata accepts, and the job that its entry point launches."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import pytest
import yaml
from apache_beam.options.pipeline_options import DebugOptions, StandardOptions
from google.cloud.dataflow_v1beta3.types import TemplateMetadata

from encoders.catalogue import lookup
from pipelines import options
from rawless.bearer import TokenCredentials
from rawless.cli.flex_template import launch
from rawless.local.stack import Stack
from rawless.privacy.pseudonyms import KEY_VARIABLE
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import register
from tests.fake_google import FakeGoogle, credentials_file, fake_google
from tests.keys import FIXED_KEY
from tests.streams import ANY_ID

ROOT = Path(__file__).parent.parent.parent
METADATA = json.loads((ROOT / "terraform" / "template" / "metadata.json").read_text())
PARAMETERS = {parameter["name"]: parameter for parameter in METADATA["parameters"]}
OWN = {"stream", "source", "warehouse", "device"}
L4 = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx"
IMAGE = f"europe-west4-docker.pkg.dev/a-project/rawless/rawless@sha256:{'0' * 64}"
STREAM = {"stream": "message", "modality": "text", "encoders": ["minilm@1.0.0"], "event_id": ANY_ID}
ACCEPTED = {
    "stream": ["gs://a-bucket/streams/support.yaml"],
    "source": ["pubsub:projects/a-project/subscriptions/support"],
    "warehouse": ["gs://a-bucket/warehouse.yaml"],
    "device": ["cuda", "cpu", "auto"],
    "sdk_container_image": [IMAGE],
    "dataflow_service_options": [
        L4, f"{L4},streaming_mode_at_least_once", "min_num_workers=2,worker_utilization_hint=0.8",
        "worker_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver:5xx",
    ],
    "experiments": ["no_use_multiple_sdk_containers", "disable_always_on_exception_sampling"],
    "number_of_worker_harness_threads": ["1", "32"],
}  # fmt: skip
REFUSED = {
    "stream": ["stream.yaml", "gs://a-bucket/stream.txt", "gs://a-bucket/a b.yaml"],
    "source": ["jsonl:events.jsonl", "projects/a-project/subscriptions/abc", "pubsub:projects/a-project/topics/abc"],
    "warehouse": ["https://a-host/warehouse.yaml", "gs://x/w.yaml\nproject: b"],
    "device": ["gpu", ""],
    "sdk_container_image": ["europe-west4-docker.pkg.dev/a-project/rawless/rawless:latest", f"a-host/{IMAGE}"],
    "dataflow_service_options": [
        f"{L4},enable_google_cloud_profiler", "enable_google_cloud_heap_sampling",
        "worker_accelerator=type:nvidia-l4;count:1", f"{L4};", L4.removesuffix(":5xx"),
    ],
    "experiments": ["enable_data_sampling", "no_use_multiple_sdk_containers,enable_always_on_exception_sampling"],
    "number_of_worker_harness_threads": ["0", "1000", "a"],
}  # fmt: skip


def _passes(name: str, value: str) -> bool:
    return all(re.search(pattern, value) for pattern in PARAMETERS[name]["regexes"])


def test_dataflow_knows_every_field_of_the_metadata() -> None:
    assert len(TemplateMetadata.from_json(json.dumps(METADATA)).parameters) == len(PARAMETERS) == len(ACCEPTED)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_is_checked_by_a_pattern_for_the_whole_value(name: str) -> None:
    assert PARAMETERS[name]["regexes"]
    assert all(each.startswith("^") and each.endswith("$") for each in PARAMETERS[name]["regexes"])
    assert all(_passes(name, value) for value in ACCEPTED[name])
    assert not any(_passes(name, value) for value in REFUSED[name])


@pytest.mark.parametrize("name", sorted(set(PARAMETERS) - OWN))
def test_any_other_parameter_is_an_allowed_option_of_beam(name: str) -> None:
    for value in ACCEPTED[name]:
        assert options.parse([f"--{name}={value}", "--runner=DataflowRunner", "--project=a-project"], streaming=True)


@pytest.fixture
def google(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    """Object storage and tokens from a fake server; BigQuery and Pub/Sub from the local stack."""
    with fake_google() as made:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials_file(made, tmp_path)))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", made.url)
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stack.bigquery.rest)
        # An emulator gets no credentials, but the local BigQuery wants its token.
        monkeypatch.setattr("rawless.warehouse.client.TokenCredentials", lambda _: TokenCredentials(stack.token))
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", stack.pubsub)
        made.answers["POST /token"] = {"access_token": stack.token, "expires_in": 3600}
        monkeypatch.setenv(KEY_VARIABLE, FIXED_KEY)
        yield made


@pytest.fixture
def put(google: FakeGoogle, warehouse: Warehouse) -> FakeGoogle:
    """A server with the files of a launch in a bucket."""
    _put(google, "stream.yaml", STREAM)
    _put(google, "warehouse.yaml", warehouse.config.model_dump())
    return google


def _put(google: FakeGoogle, name: str, content: Any) -> None:
    google.answers[f"GET /download/storage/v1/b/a-bucket/o/{name}"] = lambda _: (200, yaml.safe_dump(content).encode())


def _arguments(**changed: str | None) -> list[str]:
    given: dict[str, str | None] = {
        "stream": "gs://a-bucket/stream.yaml",
        "source": "pubsub:projects/local-dev/subscriptions/launched",
        "warehouse": "gs://a-bucket/warehouse.yaml",
        "device": "cuda",
        "runner": "DataflowRunner",
        "project": "a-project",
        "region": "europe-west4",
        "temp_location": "gs://a-bucket/t",
        "template_location": "gs://a-bucket/job.json",
        "sdk_container_image": IMAGE,
        "dataflow_service_options": L4,
    }
    return [f"--{name}={value}" for name, value in (given | changed).items() if value is not None]


def test_a_launch_builds_the_job_of_the_files_in_the_bucket(
    put: FakeGoogle, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The launcher has no GPU but the workers do; the account creates no table."""
    built: list[beam.Pipeline] = []
    monkeypatch.setattr(beam.Pipeline, "run", lambda self: built.append(self) or SimpleNamespace(has_job=False))
    # It would ask the cloud for the bucket.
    monkeypatch.setattr("apache_beam.options.pipeline_options.GoogleCloudOptions.validate", lambda *_: [])
    register(warehouse, lookup("minilm@1.0.0"))

    assert launch(_arguments()) == 0

    (pipeline,) = built
    chosen = pipeline._options
    assert chosen.view_as(StandardOptions).streaming
    assert "disable_always_on_exception_sampling" in chosen.view_as(DebugOptions).experiments
    assert "wrote the graph of the job, with minilm@1.0.0" in capfd.readouterr().out


def test_an_encoder_that_is_not_registered_is_refused(put: FakeGoogle, capfd: pytest.CaptureFixture[str]) -> None:
    assert launch(_arguments()) == 2
    assert "run `rawless encoder register minilm@1.0.0 --warehouse FILE`" in capfd.readouterr().err


def test_the_launcher_refuses_an_encoder_that_does_not_pass_the_gate(
    put: FakeGoogle, capfd: pytest.CaptureFixture[str]
) -> None:
    gate = {"max": {"words_f1": 0.5}, "max_age": "90d"}
    _put(put, "stream.yaml", {**STREAM, "leakage": gate})

    assert launch(_arguments()) == 2

    message = capfd.readouterr().err
    assert "The leakage gate of message refuses minilm@1.0.0: words_f1 must be at most 0.5, but no audit" in message
    assert "--encoder minilm@1.0.0 --warehouse FILE" in message


MISTAKES = [
    ({"stream": "gs://a-bucket/other.yaml"}, "The stream file gs://a-bucket/other.yaml cannot be read (NotFound)"),
    ({"source": "jsonl:events.jsonl"}, "the template reads only from pubsub:"),
    ({"device": "gpu"}, "The template's parameters are not valid: argument --device"),
    ({"warehouse": None}, "the following arguments are required: --warehouse"),
    ({"sdk_container_image": None}, "The option sdk_container_image is missing"),
    ({"experiments": "enable_data_sampling"}, "The experiment enable_data_sampling is forbidden"),
    ({"no_such": "option"}, "The Beam option --no_such is unknown"),
]


@pytest.mark.parametrize(("changed", "sentence"), MISTAKES)
def test_a_mistake_is_answered_in_one_sentence_and_launches_nothing(
    changed: dict[str, str | None], sentence: str, put: FakeGoogle, capfd: pytest.CaptureFixture[str]
) -> None:
    assert launch(_arguments(**changed)) == 2

    message = capfd.readouterr().err
    assert sentence in message
    assert "Traceback" not in message


def test_the_entry_point_of_the_image_launches_the_job() -> None:
    text = (ROOT / "terraform" / "template" / "launch.py").read_text()

    assert "from rawless.cli.flex_template import launch" in text
    assert "sys.exit(launch(sys.argv[1:]))" in text
