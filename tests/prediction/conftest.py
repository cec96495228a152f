"""Fixtures for jobs that predict: they write to the test's own warehouse, and find their heads in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoders.spec import EncoderSpec
from rawless.events.stream import Stream
from rawless.privacy.pseudonyms import KeySource
from rawless.warehouse.client import Warehouse

EVER = "TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01'"
Rows = Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return tmp_path / "heads"


@pytest.fixture
def own_warehouse(warehouse: Warehouse, key: KeySource, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """The warehouse that every job of this test opens."""
    for name in ("prepare.open_job_warehouse", "prepare.open_warehouse", "snapshot.open_warehouse"):
        monkeypatch.setattr(f"rawless.prediction.{name}", lambda *_, **__: warehouse)
    monkeypatch.setattr("rawless.job.open_key_source", lambda _: key)
    return warehouse


@pytest.fixture
def tiny_stream(stream: Stream, tiny_file: Path) -> Stream:
    """A stream of texts that the tiny encoder encodes."""
    return stream.model_copy(update={"encoders": (str(tiny_file),)})


@pytest.fixture
def predictions(warehouse: Warehouse) -> Rows:
    """What readers see of the predictions, by event."""

    def read() -> dict[str, dict[str, Any]]:
        found = warehouse.query(f"SELECT * FROM {warehouse.config.events}.prediction({EVER})")
        assert len({row["event_id"] for row in found}) == len(found)
        return {row["event_id"]: row for row in found}

    return read


def probabilities(row: dict[str, Any]) -> dict[str, float]:
    return {each["class"]: each["probability"] for each in row["probabilities"]}


def stored(warehouse: Warehouse, table: str) -> int:
    (row,) = warehouse.query(f"SELECT COUNT(*) AS n FROM `{warehouse.table_id(table)}`")
    return int(row["n"])


def fingerprint_of(spec: EncoderSpec) -> dict[str, str]:
    return {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
