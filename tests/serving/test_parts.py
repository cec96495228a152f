"""Serving a stream whose events have parts: one JSON object of them, in one service and across services."""

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from encoders.compose import compose
from encoders.encoder import Encoded
from encoders.load import load
from encoders.spec import EncoderSpec
from rawless.content_parts import pack
from rawless.errors import UserError
from rawless.heads import deployment
from rawless.heads.session import open_head
from rawless.privacy import Raw
from rawless.serving.app import AppFactory, Dependencies
from rawless.serving.config import load_config
from tests.drawn_heads import write_head
from tests.encoders.families.test_composite_parts import picture
from tests.serving.conftest import PSEUDONYM_KEY, run_app
from tests.tiny_towers import Towers

MARKER = "Rosalind-0815-Quibble"
PHOTO = {"payload_base64": base64.b64encode(picture()).decode()}
CAPTION = {"text": "my parcel"}
PREDICT = "/v1/heads/topic/predict"
JSON = {"content-type": "application/json"}
Start = Callable[..., httpx.Client]


@pytest.fixture
def spec(towers: Towers) -> EncoderSpec:
    return compose(
        [towers.image, towers.text], "post", "1.0.0", weights=[1, 1], normalise_parts=True, l2_normalise=False,
        reads=["photo", "caption"], missing="reject",
    )  # fmt: skip


@pytest.fixture
def start(tmp_path: Path, spec: EncoderSpec) -> Any:
    """Returns a function that starts a service of a head of the spec; arguments replace fields of the stream."""
    with ExitStack() as running:
        write_head(tmp_path / "heads", "topic", 1, spec=spec)
        deployment.deploy(tmp_path / "heads", "topic", 1)

        def go(**fields: Any) -> httpx.Client:
            stream: Mapping[str, Any] = {
                "stream": "post",
                "modality": "parts",
                "parts": {
                    "photo": {"modality": "image", "max_bytes": 20_000},
                    "caption": {"modality": "text", "max_bytes": 500},
                },
                "encoders": [spec.ref],
                "subject": "none",
                "uri_prefixes": [f"file://{tmp_path}/"],
            } | fields
            (tmp_path / "post.yaml").write_text(yaml.safe_dump(dict(stream)))
            file = tmp_path / "serve.yaml"
            file.write_text(yaml.safe_dump({"heads": {"topic": {"stream": "post.yaml"}}}))
            config, served = load_config(file)
            needs = Dependencies({spec.ref: spec}, tmp_path / "heads", None, PSEUDONYM_KEY, "cpu", lambda _: None)
            return running.enter_context(run_app(AppFactory(config, served, needs).create_app("all", "127.0.0.1")))

        yield go


def test_an_event_with_parts_gets_the_prediction_of_its_head(start: Start, spec: EncoderSpec, tmp_path: Path) -> None:
    client = start()

    answer = client.post(PREDICT, json={"photo": PHOTO, "caption": CAPTION})

    assert answer.status_code == 200, answer.text
    (outcome,) = load(spec, "cpu").encode([Raw(pack({"photo": picture(), "caption": b"my parcel"}))])
    assert isinstance(outcome, Encoded)
    expected = open_head(tmp_path / "heads" / "topic" / "1").answer(embedding=outcome.vector[None])
    np.testing.assert_allclose(list(answer.json()["probabilities"].values()), expected["probabilities"][0], atol=1e-5)
    body = client.get("/openapi.json").json()["paths"]["/v1/heads/topic/predict"]["post"]["requestBody"]
    single, *_ = body["content"]["application/json"]["schema"]["anyOf"]
    assert sorted(single["properties"]) == ["caption", "photo"]


def test_several_events_with_parts_in_one_request(start: Start) -> None:
    client, parts = start(), {"photo": PHOTO, "caption": CAPTION}

    answer = client.post(PREDICT, json={"items": [{"parts": parts}, {"parts": {"photo": PHOTO}}, parts]})
    form = client.post(PREDICT, files={"photo": b"a"})

    first, second, third = answer.json()["results"]
    assert first["prediction"]["probabilities"] == client.post(PREDICT, json=parts).json()["probabilities"]
    assert (second["reason"], third["reason"]) == ("missing_part", "malformed_event")
    assert form.status_code == 415


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"photo": PHOTO}, 422, "missing_part"),
        ({}, 422, "empty_payload"),
        ({"caption": {"text": MARKER * 30}, "photo": PHOTO}, 413, "payload_too_large"),
        ({"caption": MARKER, "photo": PHOTO}, 422, "malformed_event"),
        ({"caption": CAPTION, "photo": {"text": MARKER}}, 422, "wrong_modality"),
        ({"caption": CAPTION, "photo": {"payload_base64": "AAAA"}}, 422, "unsupported_image_format"),
    ],
    ids=str,
)
def test_a_body_that_is_no_such_event_is_refused_without_its_content(
    start: Start, body: dict[str, Any], status: int, reason: str
) -> None:
    answer = start().post(PREDICT, json=body)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert MARKER not in answer.text


def test_a_caller_cannot_name_an_object(start: Start, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(picture())
    body = {"caption": CAPTION, "photo": {"uri": f"file://{tmp_path}/photo.png"}}

    answer = start().post(PREDICT, content=json.dumps(body), headers=JSON)

    assert (answer.status_code, answer.json()["reason"]) == (422, "payload_uri_forbidden")


def test_a_stream_without_the_parts_that_its_encoder_reads_is_refused_at_the_start(start: Start) -> None:
    with pytest.raises(
        UserError, match=r"The encoder post@1\.0\.0 reads the part caption, of text, but the stream post"
    ):
        start(parts={"photo": "image"})
