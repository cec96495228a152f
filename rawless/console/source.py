"""What pages are made from: the warehouse's parts, the folder of heads, services, and how commands are written."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rawless.console.reads import Part, Reads


@dataclass(frozen=True)
class ServedHead:
    """A head that a service file names: the deployed heads that answer for it, and those that only follow."""

    service: str
    name: str
    answers: tuple[str, ...]
    """References, as in `topic@2`, or a name for its live version."""
    shadow: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """What pages are made from."""

    reads: Reads
    project: str
    head_folder: Path | None
    """The folder with the deployments of heads, if it is known."""
    services: tuple[ServedHead, ...] = ()
    warehouse_file: Path | None = None

    def command(self, *words: str) -> str:
        """Return a command of Rawless on this warehouse, as a shell takes it."""
        options = ["--warehouse", str(self.warehouse_file)] if self.warehouse_file else []
        return shlex.join(["rawless", *words, *options])


@dataclass(frozen=True)
class View:
    """What every page has: the parts that it was made from, and the commands that show the same."""

    parts: Sequence[Part[object]]
    commands: Sequence[str]

    @property
    def problems(self) -> list[str]:
        """One sentence for each part that could not be read."""
        return list(dict.fromkeys(part.problem for part in self.parts if part.problem))
