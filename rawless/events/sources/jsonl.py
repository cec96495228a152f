"""`jsonl:PATH`: one JSON object a line."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rawless.errors import UserError
from rawless.events.event import Delivery
from rawless.events.sources import lines
from rawless.events.sources.lines import Shard
from rawless.privacy import Raw, Reason, Rejected


@dataclass(frozen=True)
class JsonlSource:
    """A file of JSON lines."""

    path: str
    max_bytes: int
    """The stream's limit on a payload, from which the limit on a line follows."""

    def check(self) -> None:
        """See `Source.check`."""
        check_readable(self.path, "--source")

    def shards(self) -> Iterator[Shard]:
        """See `Source.shards`."""
        return lines.shards(Path(self.path))

    def read(self, shard: Shard) -> Iterator[Delivery]:
        """See `Source.read`."""
        return lines.read(Path(self.path), shard, line_limit(self.max_bytes), _fields)


def line_limit(max_bytes: int) -> int:
    """The longest line in bytes that is looked into: JSON can spell one byte in six, and ids need room."""
    return max(6 * max_bytes + (1 << 16), 1 << 24)


def check_readable(path: str, option: str) -> None:
    """Raise UserError unless `path` is a file that can be opened."""
    if not os.path.isfile(path):  # noqa: PTH113 - unlike Path.is_file, false for a path that is too long
        raise UserError(f"{option} names {path}, but there is no such file: check the path.")
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise UserError(f"{option} names {path}, but it cannot be read ({type(error).__name__}).") from None


def _fields(line: bytes) -> Raw[Mapping[str, object]]:
    return Raw(json_object(line))


def json_object(content: bytes) -> Mapping[str, object]:
    """The JSON object that content spells. Raises Rejected."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Rejected(Reason.INVALID_UTF8) from None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise Rejected(Reason.MALFORMED_EVENT) from None
    if not isinstance(fields, dict):
        raise Rejected(Reason.MALFORMED_EVENT)
    return fields
