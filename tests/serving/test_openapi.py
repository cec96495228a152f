"""The description of a service is complete and true, and whatever is sent, nothing breaks and nothing comes back."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from encoders.catalogue import lookup
from rawless.warehouse.client import Warehouse
from tests.serving.conftest import TEXT_STREAM, Bench

EXAMPLES = 40
MARKER = "Rosalind-0815-Quibble"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Heads of texts and of pictures behind one door."""
    with ExitStack() as running:
        bench = Bench(tmp_path_factory.mktemp("service"), running)
        bench.heads.mkdir()
        for name in ("topic", "urgency"):
            bench.deploy(name)
        bench.deploy("digit", spec=lookup("resnet18-seeded@1.0.0"))
        heads = {"topic": {"also": ["urgency"]}, "urgency": {}, "digit": {"stream": "upload.yaml"}}
        yield bench.start(heads)


def test_the_description_is_complete(service: httpx.Client) -> None:
    described = service.get("/openapi.json").json()

    assert sorted(described["paths"]) == [
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/readyz",
        "/v1/heads",
        "/v1/heads/digit/predict",
        "/v1/heads/topic/predict",
        "/v1/heads/urgency/predict",
    ]
    predict = described["paths"]["/v1/heads/topic/predict"]["post"]
    assert set(predict["responses"]) == {"200", "400", "413", "415", "421", "422", "500", "503", "504"}
    assert list(predict["requestBody"]["content"]) == ["application/json"]
    names = {each["name"] for each in predict["parameters"]}
    assert names == {
        f"Rawless-{name}" for name in ("Event-Id", "Occurred-At", "Subject-Id", "Attributes", "Assignment-Key")
    }
    pictures = described["paths"]["/v1/heads/digit/predict"]["post"]
    assert list(pictures["requestBody"]["content"]) == ["image/png", "image/jpeg", "application/octet-stream"]
    assert "Rawless-Subject-Id" not in {each["name"] for each in pictures["parameters"]}


@pytest.mark.parametrize("logged", [False, True])
def test_what_a_log_needs_is_described_as_needed(bench: Bench, warehouse: Warehouse, logged: bool) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {"log": logged}}, warehouse=warehouse)

    parameters = client.get("/openapi.json").json()["paths"]["/v1/heads/topic/predict"]["post"]["parameters"]

    needed = {each["name"] for each in parameters if each.get("required")}
    assert needed == ({"Rawless-Event-Id", "Rawless-Subject-Id"} if logged else set())


def test_an_ids_pattern_holds_for_the_whole_id(bench: Bench) -> None:
    bench.deploy("topic")
    either = TEXT_STREAM | {"event_id": {"pattern": "msg-\\d|note-\\d"}}
    (bench.folder / "either.yaml").write_text(yaml.safe_dump(either))

    client = bench.start({"topic": {"stream": "either.yaml"}})
    described = client.get("/openapi.json").json()["paths"]["/v1/heads/topic/predict"]["post"]["parameters"]

    assert described[0]["schema"]["pattern"] == "^(?:msg-\\d|note-\\d)$"


_UNTOLD = [openapi_checks.negative_data_rejection, openapi_checks.positive_data_acceptance]
"""Whether bytes are a picture, and an id fits a time's rules, no schema tells."""


@pytest.mark.filterwarnings("default")
def test_it_answers_as_it_is_described(service: httpx.Client) -> None:
    """schemathesis: requests drawn from the description, good and bad, against its checks."""
    schema = schemathesis.openapi.from_url(str(service.base_url.join("/openapi.json")))
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        drawn = [operation.as_strategy(generation_mode=each) for each in GenerationMode]

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
        @given(st.one_of(drawn))
        def answers(case: Any) -> None:
            case.call_and_validate(excluded_checks=_UNTOLD)

        answers()
    assert len(operations) == 7  # all but the description itself


_BODIES = st.binary(max_size=3000) | st.builds(lambda text: b'{"text": ' + text + b"}", st.binary(max_size=300))
_TYPES = st.sampled_from(["application/json", "image/png", "image/jpeg", "application/octet-stream", "text/html", ""])
_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=300)
_NAMES = st.sampled_from(["event-id", "occurred-at", "subject-id", "attributes", "assignment-key"])


@settings(max_examples=int(os.environ.get("RAWLESS_FUZZ", "150")), suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["topic", "urgency", "digit"]),
    _BODIES,
    _TYPES,
    st.dictionaries(
        st.sampled_from(["event-id", "occurred-at", "subject-id", "attributes", "assignment-key"]), _VALUES
    ),
)
def test_random_bytes_break_nothing_and_never_come_back(
    service: httpx.Client, head: str, body: bytes, kind: str, metadata: dict[str, str]
) -> None:
    headers = {f"rawless-{name}": f"{value}{MARKER}" for name, value in metadata.items()}

    answer = service.post(
        f"/v1/heads/{head}/predict", content=body + MARKER.encode(), headers={"content-type": kind, **headers}
    )

    assert answer.status_code in (200, 413, 415, 422)
    assert MARKER not in answer.text + str(answer.headers)
