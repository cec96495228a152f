"""Search for raw content where it must not be: in bytes, files and tables, in all spellings that leaks have."""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes

from ahocorasick_rs import BytesAhoCorasick

from rawless.warehouse.client import Warehouse

FRAGMENT = 24
"""Length of the fragments that are searched for, in characters; in bytes, if the content is not text."""
SHORTEST = 8
"""Length in bytes below which a fragment is not searched for, because it would occur everywhere."""
_CHUNK = 1 << 22


@dataclass(frozen=True, order=True)
class Trace:
    """An occurrence of content: its place, its spelling, and the content's position in what was searched for."""

    place: str
    spelling: str
    content: int


class Search:
    """Searches for fragments of any number of contents in one pass over the data (Aho and Corasick, 1975)."""

    def __init__(self, contents: Iterable[bytes]) -> None:
        """Prepare the search. `contents` counts all contents, `too_short` those that cannot be searched for."""
        self.contents = 0
        self.too_short = 0
        sources: dict[bytes, list[tuple[str, int]]] = {}
        for position, content in enumerate(contents):
            self.contents += 1
            fragments = list(_fragments(content))
            self.too_short += not fragments
            for fragment in fragments:
                for spelling, needle in _spellings(fragment):
                    if len(needle) >= SHORTEST:
                        sources.setdefault(needle, []).append((spelling, position))
        self._sources = list(sources.values())
        self._automaton = BytesAhoCorasick(list(sources))
        self._overlap = max(map(len, sources), default=1) - 1

    def in_bytes(self, data: bytes, place: str) -> set[Trace]:
        """Return the traces in `data`, with `place` as their place."""
        needles = {needle for needle, _, _ in self._automaton.find_matches_as_indexes(data, overlapping=True)}
        return {Trace(place, spelling, content) for needle in needles for spelling, content in self._sources[needle]}

    def in_folder(self, folder: Path) -> set[Trace]:
        """Return the traces in all files below a folder, and in their names."""
        paths = sorted(folder.rglob("*"))
        traces = self.in_bytes("\n".join(map(str, paths)).encode(), f"names in {folder}")
        for path in paths:
            if path.is_file():
                traces |= self._in_file(path)
        return traces

    def in_tables(self, warehouse: Warehouse) -> set[Trace]:
        """Return the traces in all rows and column names of all tables of the warehouse's datasets."""
        traces = set()
        for name, rows in _rows(warehouse):
            traces |= self.in_bytes("\n".join(rows).encode(), f"table {name}")
        return traces

    def _in_file(self, path: Path) -> set[Trace]:
        traces: set[Trace] = set()
        data = b""
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                data = data[len(data) - min(len(data), self._overlap) :] + chunk
                traces |= self.in_bytes(data, str(path))
        return traces


def spelled(content: bytes) -> dict[str, bytes]:
    """Return a content in every spelling that `Search` must find, by the spelling's name."""
    return {
        "as it is": b"... " + content + b" ...",
        "hex": content.hex().encode(),
        "base64": base64.b64encode(content),
        "base64 in a longer one": base64.b64encode(b"{" + content + b"}"),
        "repr": repr(content).encode(),
        "percent": quote_from_bytes(content).encode(),
        "JSON": json.dumps(content.decode(errors="replace")).encode(),
        "UTF-16-LE": content.decode(errors="replace").encode("utf-16-le"),
        "UTF-16-BE": content.decode(errors="replace").encode("utf-16-be"),
    }


def _fragments(content: bytes) -> Iterator[bytes]:
    """Yield start, middle and end of a content, unless so short or uniform that they would occur by chance."""
    try:
        whole: str | bytes = content.decode().strip()
    except UnicodeDecodeError:
        whole = content
    starts = {0, max(0, (len(whole) - FRAGMENT) // 2), max(0, len(whole) - FRAGMENT)}
    for start in sorted(starts):
        part = whole[start : start + FRAGMENT]
        fragment = part.strip().encode() if isinstance(part, str) else part
        if len(fragment) >= SHORTEST and len(set(fragment)) >= SHORTEST - 2:
            yield fragment


def _spellings(fragment: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the names of spellings and the bytes by which each is found."""
    yield "as it is", fragment
    yield "hex", fragment.hex().encode()
    yield "HEX", fragment.hex().upper().encode()
    for shift, skipped in ((0, 0), (1, 2), (2, 3)):
        # Base64 of the fragment inside a longer content: three alignments, without the ends that depend on neighbours.
        encoded = base64.b64encode(bytes(shift) + fragment)[skipped : (shift + len(fragment)) * 8 // 6]
        yield "base64", encoded
        if encoded != (url_safe := encoded.translate(bytes.maketrans(b"+/", b"-_"))):
            yield "base64url", url_safe
    for name, escaped in (("repr", repr(fragment)[2:-1].encode()), ("percent", quote_from_bytes(fragment).encode())):
        if escaped != fragment:
            yield name, escaped
    try:
        text = fragment.decode()
    except UnicodeDecodeError:
        return
    yield "UTF-16-LE", text.encode("utf-16-le")
    yield "UTF-16-BE", text.encode("utf-16-be")
    if (escaped := json.dumps(text)[1:-1].encode()) != fragment:
        yield "JSON", escaped


def _rows(warehouse: Warehouse) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of every table, with the names of its columns and its rows as JSON."""
    config = warehouse.config
    for dataset in (config.events, config.snapshots, config.subjects, config.audit):
        for item in warehouse.client.list_tables(f"{config.project}.{dataset}"):
            name = f"{dataset}.{item.table_id}"
            live = warehouse.client.get_table(item.reference)
            field = live.time_partitioning.field if live.time_partitioning else None
            where = f"WHERE `{field}` > TIMESTAMP '0001-01-01'" if field else ""
            rows = warehouse.query(f"SELECT TO_JSON_STRING(t) AS row_json FROM `{name}` AS t {where}")  # noqa: S608
            yield name, [*(column.name for column in live.schema), *(row["row_json"] for row in rows)]
