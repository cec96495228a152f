"""Serving with an encoder with noise: heads answer for the vector without it, the log has what ingest would store."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from encoders.encoder import Encoded
from encoders.load import load
from encoders.release import PURPOSE, Release, round_off
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.session import open_head
from rawless.privacy import Raw
from rawless.warehouse.client import Warehouse
from tests.serving.conftest import PSEUDONYM_KEY, Bench, eventually

TEXT = "Where is my parcel?"


def test_the_log_has_noise_and_the_answer_has_none(bench: Bench, warehouse: Warehouse, tiny_noisy: EncoderSpec) -> None:
    noisy_bench = replace(bench, spec=tiny_noisy)
    noisy_bench.deploy("topic")
    client = noisy_bench.start({"topic": {"log": True}}, warehouse=warehouse)
    answers = [client.post("/v1/heads/topic/predict", json={"text": TEXT}, headers=_of(n)).json() for n in (1, 2)]
    eventually(lambda: len(warehouse.query("SELECT event_id FROM prediction_v1")) == 2)

    assert answers[0]["probabilities"] == answers[1]["probabilities"]
    rows = warehouse.query("SELECT event_id, embedding FROM embedding_event_v1 ORDER BY event_id")
    (encoded,) = load(tiny_noisy, "cpu").encode([Raw(TEXT.encode())])
    assert isinstance(encoded, Encoded)
    release = Release(tiny_noisy, PSEUDONYM_KEY.derive(PURPOSE))
    for row in rows:
        expected = release(encoded, _Event(row["event_id"]))
        assert isinstance(expected, Encoded)
        assert np.array_equal(np.array(row["embedding"], np.float32), expected.vector)
    assert rows[0]["embedding"] != rows[1]["embedding"]
    rounded = round_off(tiny_noisy, encoded)
    assert not np.array_equal(rounded.vector, encoded.vector)
    session = open_head(noisy_bench.heads / "topic" / "1")
    (expected_answer,) = session.answer(embedding=rounded.vector[None]).values()
    assert list(answers[0]["probabilities"].values()) == pytest.approx(expected_answer[0], abs=1e-6)


def test_a_head_of_the_encoder_without_the_defence_is_refused(
    bench: Bench, tiny_sealed: EncoderSpec, tiny_noisy: EncoderSpec
) -> None:
    replace(bench, spec=tiny_sealed).deploy("topic")
    with pytest.raises(UserError, match=r"tiny@1\.0\.0"):
        replace(bench, spec=tiny_noisy).start({"topic": {}})


class _Event:
    stream = "message"
    payload = Raw(TEXT.encode())

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id


def _of(number: int) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {
        "rawless-event-id": f"msg-000{number}",
        "rawless-occurred-at": at,
        "rawless-subject-id": "customer-1",
    }
