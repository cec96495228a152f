"""The OpenAPI document is complete and correct, and no input breaks a service or is repeated in a response."""

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
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with heads for texts and for images."""
    with ExitStack() as running:
        bench = Bench(tmp_path_factory.mktemp("service"), running)
        bench.heads.mkdir()
        for name in ("topic", "urgency"):
            bench.deploy(name)
        bench.deploy("digit", spec=lookup("resnet18-seeded@1.0.0"))
        heads = {"topic": {"also": ["urgency"]}, "urgency": {}, "digit": {"stream": "upload.yaml"}}
        yield bench.start(heads)


def test_the_document_is_complete(service: httpx.Client) -> None:
    document = service.get("/openapi.json").json()

    assert sorted(document["paths"]) == [
        "/docs",
        "/docs/{name}",
        "/health",
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/ready",
        "/readyz",
        "/v1/heads",
        "/v1/heads/digit/predict",
        "/v1/heads/topic/predict",
        "/v1/heads/urgency/predict",
    ]
    predict = document["paths"]["/v1/heads/topic/predict"]["post"]
    assert set(predict["responses"]) == {"200", "400", "403", "413", "415", "421", "422", "500", "503", "504"}
    assert list(predict["requestBody"]["content"]) == ["application/json", "multipart/form-data"]
    names = {parameter["name"] for parameter in predict["parameters"]}
    assert names == {
        f"Rawless-{name}"
        for name in ("Event-Id", "Occurred-At", "Subject-Id", "Attributes", "Assignment-Key", "Features")
    }
    images = document["paths"]["/v1/heads/digit/predict"]["post"]
    assert list(images["requestBody"]["content"]) == [
        *("image/png", "image/jpeg", "application/octet-stream"),
        *("application/json", "multipart/form-data"),
    ]
    assert "Rawless-Subject-Id" not in {parameter["name"] for parameter in images["parameters"]}


@pytest.mark.parametrize("logged", [False, True])
def test_headers_that_the_log_needs_are_required(bench: Bench, warehouse: Warehouse, logged: bool) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {"log": logged}}, warehouse=warehouse)

    parameters = client.get("/openapi.json").json()["paths"]["/v1/heads/topic/predict"]["post"]["parameters"]

    required = {parameter["name"] for parameter in parameters if parameter.get("required")}
    assert required == ({"Rawless-Event-Id", "Rawless-Subject-Id"} if logged else set())


def test_the_pattern_of_an_id_covers_the_whole_id(bench: Bench) -> None:
    bench.deploy("topic")
    either = TEXT_STREAM | {"event_id": {"pattern": "msg-\\d|note-\\d"}}
    (bench.folder / "either.yaml").write_text(yaml.safe_dump(either))

    client = bench.start({"topic": {"stream": "either.yaml"}})
    parameters = client.get("/openapi.json").json()["paths"]["/v1/heads/topic/predict"]["post"]["parameters"]

    assert parameters[0]["schema"]["pattern"] == "^(?:msg-\\d|note-\\d)$"


_EXCLUDED_CHECKS = [openapi_checks.negative_data_rejection, openapi_checks.positive_data_acceptance]
"""No schema can express whether bytes are an image, or a time is in range."""


@pytest.mark.filterwarnings("default")
def test_responses_match_the_document(service: httpx.Client) -> None:
    """Schemathesis generates valid and invalid requests from the document, and checks the responses."""
    schema = schemathesis.openapi.from_url(str(service.base_url.join("/openapi.json")))
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        strategies = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
        @given(st.one_of(strategies))
        def check(case: Any) -> None:
            case.call_and_validate(excluded_checks=_EXCLUDED_CHECKS)

        check()
    assert len(operations) == 11  # all but the document itself


_SHORT = st.binary(max_size=300)
_PIECES = st.sampled_from(
    [
        b"--b",
        b"\r\n",
        b"--",
        b"Content-Disposition: form-data; name=",
        b"file",
        b"text",
        b'"',
        b";filename=",
        b"[",
        b"{",
    ]
)
_BODIES = (
    st.binary(max_size=3000)
    | st.builds(lambda text: b'{"text": ' + text + b"}", _SHORT)
    | st.builds(lambda items: b'[{"text": ' + b'}, {"text": '.join(items) + b"}]", st.lists(_SHORT, max_size=4))
    | st.builds(b"".join, st.lists(_PIECES | _SHORT, max_size=40))
)
_FORM = "multipart/form-data; boundary=b"
_TYPES = st.sampled_from(
    ["application/json", "image/png", "image/jpeg", "application/octet-stream", _FORM, "text/html", ""]
)
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
def test_random_requests_cause_no_error_and_are_not_repeated(
    service: httpx.Client, head: str, body: bytes, kind: str, metadata: dict[str, str]
) -> None:
    headers = {f"rawless-{name}": f"{value}{MARKER}" for name, value in metadata.items()}

    answer = service.post(
        f"/v1/heads/{head}/predict", content=body + MARKER.encode(), headers={"content-type": kind, **headers}
    )

    assert answer.status_code in (200, 413, 415, 422)
    assert MARKER not in answer.text + str(answer.headers)
