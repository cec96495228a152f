"""Which extras of the package each command needs."""

from rawless import extras
from rawless.extras import MissingLibrary

_NEEDED = {
    "audit": "audit",
    "audit readers": "science",
    "audit waive": "science",
    "audit waivers": "science",
    "callers": "serve",
    "demo": "demo",
    "deploy": "deploy",
    "encoder": "encode,science",
    "encoder backfill": "ingest",
    "encoder bake": "encode,warehouse",
    "encoder list": "science",
    "encoder roles": "science",
    "encoder show": "science",
    "head train": "train",
    "ingest": "ingest",
    "head compare": "train",
    "job": "deploy",
    "predict": "heads,ingest",
    "publish": "ingest",
    "replay": "ingest",
    "serve": "serve",
    "worker": "ingest",
}
"""The extras of a command, or of those of a group; the others need `science`."""


def missing_library(error: ImportError, command: str) -> MissingLibrary | None:
    """Return an error that says what to install for a command, such as `head train`; None for another fault."""
    needed = _NEEDED.get(command) or _NEEDED.get(command.partition(" ")[0], "science")
    return extras.explain(error, f"`rawless {command}`", needed)
