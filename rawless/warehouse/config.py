"""Where the tables are: the warehouse file, and the addresses of an emulator. Free of clients, so quick to import."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from rawless.config import FrozenModel, read_yaml

_DatasetName = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")


class WarehouseConfig(FrozenModel):
    """Where the tables are: a warehouse file. Datasets of their own, so that each has its own readers."""

    project: str = Field(pattern=r"^[a-z][a-z0-9.:-]{4,60}[a-z0-9]$")
    location: str = Field(default="US", pattern=r"^[A-Za-z0-9-]{2,30}$")
    events: str = _DatasetName
    snapshots: str = _DatasetName
    subjects: str = _DatasetName
    audit: str = _DatasetName
    pseudonym_secret: str | None = Field(default=None, pattern=r"^projects/[^/]+/secrets/[^/]+/versions/[^/]+$")
    """The pseudonym key in Secret Manager."""

    @model_validator(mode="after")
    def _apart(self) -> "WarehouseConfig":
        names = [self.events, self.snapshots, self.subjects, self.audit]
        if len(set(names)) != len(names):
            raise ValueError(
                "events, snapshots, subjects and audit must be datasets of their own, each with its readers"
            )
        return self


def load_warehouse_config(path: Path) -> WarehouseConfig:
    """Read a warehouse file. Raises UserError naming field, value and rule."""
    return read_yaml(path, WarehouseConfig, what="warehouse file")


@dataclass(frozen=True)
class Emulator:
    """Addresses of a BigQuery emulator."""

    rest: str
    """As in http://127.0.0.1:9050."""
    grpc: str
    """As in 127.0.0.1:9060."""
