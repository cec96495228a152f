"""Fixtures that run a complete ingest job on real parts."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from apache_beam.runners.portability import local_job_service

from encoders.catalogue import lookup
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import run
from rawless.events.sources import open_source
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse
from tests.programs import Worker

EVER = "TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01'"


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beam's worker processes are forked like programs, so that they need not import everything again."""
    monkeypatch.setattr(local_job_service, "subprocess", SimpleNamespace(Popen=Worker))


@pytest.fixture
def job(stream: Stream, warehouse: Warehouse, key: KeySource) -> Callable[..., Ingest]:
    """Returns a function that makes an ingest job over a JSON lines file."""

    def make(path: Path, **changes: Any) -> Ingest:
        source = open_source(f"jsonl:{path}", stream)
        return replace(Ingest(stream, source, (lookup("minilm@1.0.0"),), key, warehouse, "cpu"), **changes)

    return make


@pytest.fixture
def ingest(job: Callable[..., Ingest]) -> Callable[..., dict[str, Any]]:
    """Returns a function that runs an ingest job over a JSON lines file and returns its summary."""

    def go(path: Path, *beam: str, **changes: Any) -> dict[str, Any]:
        return run(job(path, **changes), options.parse(beam), time.monotonic())

    return go


@pytest.fixture
def embeddings(warehouse: Warehouse) -> Callable[[], list[dict[str, Any]]]:
    """What a reader of embedding events sees, in order of event ids."""

    def read() -> list[dict[str, Any]]:
        return warehouse.query(
            f"SELECT * FROM {warehouse.config.events}.embedding_event({EVER}) ORDER BY event_id, encoder_fingerprint"
        )

    return read


@pytest.fixture
def rejections(warehouse: Warehouse) -> Callable[[], list[dict[str, Any]]]:
    """What a reader of rejections sees, in order of message ids."""

    def read() -> list[dict[str, Any]]:
        return warehouse.query(
            f"SELECT * FROM {warehouse.config.events}.rejection({EVER}) ORDER BY SAFE_CAST(message_id AS INT64), reason"
        )

    return read
