"""Ingest by an encoder with noise: what is stored is not its vector, and a replay stores the same once more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.encoder import Encoded
from encoders.load import load
from encoders.spec import EncoderSpec
from rawless.events.stream import Stream
from rawless.privacy import Raw
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse


def test_a_replay_stores_the_vector_with_the_same_noise(
    ingest: Callable[..., dict[str, Any]],
    write_events: Callable[..., Path],
    warehouse: Warehouse,
    tiny_noisy: EncoderSpec,
    stream: Stream,
) -> None:
    path = write_events(*({"event_id": f"e-{number}", "text": "Where is my parcel?"} for number in range(2)))
    for _ in range(2):
        ingest(path, encoders=(tiny_noisy,))

    rows = warehouse.query("SELECT event_id, embedding FROM embedding_event_v1 ORDER BY event_id")
    first, again, other, _ = (np.array(row["embedding"], np.float32) for row in rows)
    (encoded,) = load(tiny_noisy, "cpu").encode([Raw(b"Where is my parcel?")])
    assert isinstance(encoded, Encoded)
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 0.05
    assert 0.05 < np.std(first - encoded.vector) < 0.5


def test_noise_needs_the_key_also_in_a_stream_without_subjects(
    stream: Stream,
    tmp_path: Path,
    tiny_noisy: EncoderSpec,
    write_events: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipelines.launch import IngestRequest, prepare
    from rawless.errors import UserError
    from rawless.events.sources import open_bounded_source

    file = tmp_path / "noisy.yaml"
    file.write_text(tiny_noisy.model_dump_json())
    without = stream.model_copy(update={"subject": "none", "encoders": (str(file),)})
    source = open_bounded_source(f"jsonl:{write_events({})}", without)
    monkeypatch.setattr("rawless.job.open_key_source", lambda _: KeySource())
    monkeypatch.delenv("RAWLESS_PSEUDONYM_KEY", raising=False)
    with pytest.raises(UserError, match="There is no pseudonym key"):
        prepare(IngestRequest(source), without)
