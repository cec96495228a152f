"""What depends on an encoder in the warehouse: rows, snapshots and heads."""

from dataclasses import dataclass
from datetime import datetime

from rawless.datasets.snapshots import list_manifests
from rawless.heads.registry import heads
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

_USAGE = FOLDER / "encoder_v1" / "usage.sql"


@dataclass(frozen=True)
class StreamRows:
    """The rows that a stream has of one encoder."""

    stream: str
    row_count: int
    first_at: datetime
    """When the first of their events occurred."""
    last_at: datetime


@dataclass(frozen=True)
class Usage:
    """What would be without its encoder if that were retired."""

    streams: tuple[StreamRows, ...]
    snapshots: tuple[str, ...]
    """DATASET@ID of each, the newest first."""
    heads: tuple[str, ...]
    """NAME@VERSION of each, the newest first."""


def usage(warehouse: Warehouse, fingerprint: str) -> Usage:
    """Return what depends on exactly the encoder with this fingerprint."""
    manifests = [each for each in list_manifests(warehouse) if each.has_vectors_of(fingerprint)]
    return Usage(
        streams=stream_rows(warehouse, fingerprint),
        snapshots=tuple(f"{each.dataset}@{each.snapshot_id}" for each in manifests),
        heads=tuple(f"{each.head}@{each.version}" for each in heads(warehouse, fingerprint=fingerprint)),
    )


def stream_rows(warehouse: Warehouse, fingerprint: str) -> tuple[StreamRows, ...]:
    """Return the rows that each stream has of the encoder with this fingerprint."""
    rows = warehouse.query(warehouse.render(_USAGE), parameters({"fingerprint": fingerprint}))
    return tuple(StreamRows(**row) for row in rows)
