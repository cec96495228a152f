"""The fine-tuning baseline keeps raw content in memory and leaves the encoder unchanged."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoders import weights
from encoders.batch_encoder import BatchEncoder
from encoders.encoder import Encoder
from encoders.load import build
from rawless.errors import UserError
from rawless.events.sources import open_bounded_source
from rawless.events.stream import Stream
from rawless.heads.examples import Task
from rawless.lifecycle.finetune import finetune, read_payloads
from rawless.privacy import Raw
from rawless.privacy.pseudonyms import KeySource
from tests.heads.conftest import make_task

WORDS = ("My parcel is late", "My card was charged twice")


def _text(number: int) -> str:
    return f"{WORDS[number % 2]}, says customer {number}."


@pytest.fixture(scope="module")
def task(minilm: Encoder) -> Task:
    """A task of forty texts about two topics, encoded by MiniLM."""
    vectors = [encoding.vector for encoding in minilm.encode([Raw(_text(n).encode()) for n in range(40)])]  # type: ignore[union-attr]
    return make_task((np.stack(vectors),), np.arange(40) % 2, ("parcel", "payment"))


@pytest.fixture(scope="module")
def encoder(minilm: Encoder) -> BatchEncoder[Any]:
    """MiniLM on torch, since fine-tuning needs its network."""
    return build(minilm.spec, torch.device("cpu"))


@pytest.fixture
def source(tmp_path: Path, stream: Stream) -> Path:
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    fields = {"occurred_at": at, "stream": stream.stream, "subject_id": "c-1"}
    lines = [json.dumps({**fields, "event_id": f"e-{n}", "text": _text(n)}) for n in range(50)]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    return tmp_path / "events.jsonl"


@pytest.mark.full
def test_finetuning_learns_and_leaves_the_encoder_unchanged(
    task: Task, encoder: BatchEncoder[Any], source: Path, stream: Stream, key: KeySource
) -> None:
    ids = [event_id for split in task.splits.values() for event_id in split.rows.ids]
    raw = read_payloads(open_bounded_source(f"jsonl:{source}", stream), stream, key.load(), ids)
    before = {name: tensor.clone() for name, tensor in encoder.network.state_dict().items()}
    files = {name: (weights.find(encoder.spec) / name).read_bytes() for name in encoder.spec.files}
    epochs: list[str] = []

    metrics = {metric.name: metric.value for metric in finetune(task, encoder, raw, 1, epochs.append)}

    assert len(raw) == 40  # the source has fifty events
    assert metrics["accuracy"] == 1
    assert epochs == ["epoch 1 of 1"]
    assert all((weights.find(encoder.spec) / name).read_bytes() == content for name, content in files.items())
    after = encoder.network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_missing_content_is_reported_by_its_count(task: Task, encoder: BatchEncoder[Any]) -> None:
    with pytest.raises(UserError, match="24 events of train are not in the source"):
        finetune(task, encoder, {}, 1, lambda _: None)


def test_pairs_are_refused(encoder: BatchEncoder[Any]) -> None:
    vectors = np.ones((10, 384), np.float32)
    pairs = make_task((vectors, vectors), np.arange(10) % 2, ("no", "yes"), kind="pair")
    with pytest.raises(UserError, match="neither pairs nor numbers"):
        finetune(pairs, encoder, {}, 1, lambda _: None)
