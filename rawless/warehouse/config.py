"""The warehouse file, and the addresses of an emulator. Imports no client, so that it is quick to import."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, model_validator

from rawless.config import FrozenModel, read_yaml

_DatasetName = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")


class WarehouseConfig(FrozenModel):
    """A warehouse file: the project and the five datasets of the tables, separate so that each has its own readers."""

    project: str = Field(pattern=r"^[a-z][a-z0-9.:-]{4,60}[a-z0-9]$")
    location: str = Field(default="US", pattern=r"^[A-Za-z0-9-]{2,30}$")
    events: str = _DatasetName
    snapshots: str = _DatasetName
    builds: str = _DatasetName
    """Working tables of builds, and copies of sources: only who builds datasets may read it."""
    subjects: str = _DatasetName
    audit: str = _DatasetName
    pseudonym_secret: str | None = Field(default=None, pattern=r"^projects/[^/]+/secrets/[^/]+/versions/[^/]+$")
    """The version of a secret in Secret Manager that contains the pseudonym key."""
    worker_image: str | None = Field(default=None, pattern=r"^[a-z0-9][\w./:-]*@sha256:[0-9a-f]{64}$")
    """The only image that workers of a job may run, by digest."""

    @model_validator(mode="after")
    def _distinct(self) -> "WarehouseConfig":
        names = [self.events, self.snapshots, self.builds, self.subjects, self.audit]
        if len(set(names)) != len(names):
            raise ValueError(
                "events, snapshots, builds, subjects and audit must be five different datasets, each with its own "
                "readers"
            )
        return self


def load_warehouse_config(path: Path) -> WarehouseConfig:
    """Read a warehouse file. Raises UserError naming field, value and rule."""
    return read_yaml(path, WarehouseConfig, what="warehouse file")


@dataclass(frozen=True)
class Emulator:
    """Addresses of a BigQuery emulator."""

    rest: str
    """A URL such as http://127.0.0.1:9050."""
    grpc: str
    """Host and port, such as 127.0.0.1:9060."""
    token: str = field(default="", repr=False)
    """What each request must contain, if anything."""
