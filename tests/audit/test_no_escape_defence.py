"""A release that fails: no content escapes, and the event is a rejection."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

import encoders.release
from encoders.spec import EncoderSpec
from pipelines.ingest import Ingest
from rawless.audit.search import Trace
from rawless.events.sources import open_bounded_source
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse

MARKER = "purple walrus 7719 tea"


def test_no_marker_escapes_from_a_release_that_raises(
    searched: Callable[..., set[Trace]],
    stream: Stream,
    key: KeySource,
    warehouse: Warehouse,
    tiny_noisy: EncoderSpec,
    write_events: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    talkative: Callable[[str], Callable[..., NoReturn]],
) -> None:
    def fails(self: Any, encoded: Any, defence: Any, event: Any) -> NoReturn:
        talkative(MARKER)(encoded, event.payload)

    monkeypatch.setattr(encoders.release.Release, "_release", fails)
    source = open_bounded_source(f"jsonl:{write_events({'text': MARKER})}", stream)
    job = Ingest(stream, source, (tiny_noisy,), key, warehouse, "cpu")

    assert searched(job, [MARKER.encode()]) == set()
    assert warehouse.query("SELECT reason FROM rejection_v1") == [{"reason": "internal"}]
