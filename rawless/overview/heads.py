"""The heads of a warehouse: their versions, and which are live in a folder of heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from rawless.overview.encoders import encoder_names, name_of
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

_REGISTERED = FOLDER / "head_v1" / "registered.sql"
_DEPLOYED = "deployed.json"


@dataclass(frozen=True)
class HeadVersion:
    """A registered version of a head."""

    version: int
    kind: str
    snapshot_id: str | None
    encoder: str
    """NAME@VERSION, or the beginning of the fingerprint if the name is not known."""
    encoder_fingerprint: str
    metrics: Mapping[str, tuple[float, float | None, float | None]]
    """The value of each metric on the test split, with the ends of its interval."""
    created_at: datetime
    live: bool
    """Whether it is live in the folder of heads for its encoder."""


@dataclass(frozen=True)
class HeadSummary:
    """A head with its versions."""

    head: str
    versions: tuple[HeadVersion, ...]
    """The newest first."""

    @property
    def live(self) -> tuple[HeadVersion, ...]:
        """The live versions, of which there may be one for each encoder."""
        return tuple(version for version in self.versions if version.live)


def heads(warehouse: Warehouse, folder: Path | None = None) -> tuple[HeadSummary, ...]:
    """Return the heads by name; those that are live are read from a folder of heads, if one is given.

    Raises UserError for an account that may not read them, Unavailable when the warehouse does not answer.
    """
    rows = warehouse.query(warehouse.render(_REGISTERED), parameters({"head": None, "fingerprint": None}))
    names = encoder_names(warehouse) if rows else {}
    ordered = sorted(rows, key=lambda row: (row["head"], -row["version"]))
    return tuple(
        _head(head, list(of_head), names, folder) for head, of_head in groupby(ordered, lambda row: str(row["head"]))
    )


def _head(head: str, rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], folder: Path | None) -> HeadSummary:
    live = live_versions(folder, head)
    return HeadSummary(head, tuple(_version(row, names, live) for row in rows))


def live_versions(folder: Path | None, head: str) -> frozenset[int]:
    """Return the live versions of a head in a folder of heads. Raises UserError for a file that cannot be read.

    A name that is no name of a folder has none: a row of the warehouse must not choose a file elsewhere.
    """
    if folder is None or Path(head).name != head or not (folder / head / _DEPLOYED).exists():
        return frozenset()
    from rawless.heads.deployment import live_by_space  # which imports onnx

    return frozenset(live_by_space(folder, head).values())


def _version(row: Mapping[str, Any], names: Mapping[str, str], live: frozenset[int]) -> HeadVersion:
    return HeadVersion(
        version=row["version"],
        kind=row["kind"],
        snapshot_id=row["snapshot_id"],
        encoder=name_of(row["fingerprint"], names),
        encoder_fingerprint=row["fingerprint"],
        metrics={each["name"]: (each["value"], each["low"], each["high"]) for each in row["metrics"]},
        created_at=row["created_at"],
        live=row["version"] in live,
    )
