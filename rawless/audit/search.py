"""Looking for content where it must not be: in bytes, files and tables, also in the spellings that leaks take."""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np
import numpy.typing as npt

from rawless.warehouse.client import Warehouse

FRAGMENT = 24
"""Characters (bytes, where it is no text) of a content that are looked for: its start, middle and end."""
SHORTEST = 8
"""Bytes under which a content is not looked for: it would be found everywhere."""
_CHUNK = 1 << 25
_HASH_BITS = 24


@dataclass(frozen=True, order=True)
class Trace:
    """A content that was found: where, spelled how, and the content's position in what was looked for."""

    place: str
    spelling: str
    content: int


class Search:
    """Looks for contents. Any number of them cost about one pass over the data."""

    def __init__(self, contents: Iterable[bytes]) -> None:
        self._needles: dict[bytes, list[tuple[bytes, str, int]]] = {}
        self.contents = 0
        self.too_short = 0
        for position, content in enumerate(contents):
            self.contents += 1
            fragments = list(_fragments(content))
            self.too_short += not fragments
            for fragment in fragments:
                self._add(fragment, position)
        self._marked = np.zeros(1 << _HASH_BITS, dtype=bool)
        self._marked[_hashes(np.array([int.from_bytes(key, "little") for key in self._needles], dtype="<u8"))] = True
        self._longest = max((len(needle) for found in self._needles.values() for needle, _, _ in found), default=1)

    def in_bytes(self, data: bytes, place: str) -> set[Trace]:
        """The contents in `data`; `place` names it in the traces."""
        found = set()
        for offset in self._candidates(data):
            for needle, spelling, content in self._needles.get(data[offset : offset + SHORTEST], ()):
                if data.startswith(needle, offset):
                    found.add(Trace(place, spelling, content))
        return found

    def in_folder(self, folder: Path) -> set[Trace]:
        """The contents in any file under a folder, and in the names of its files."""
        found = self.in_bytes("\n".join(str(path) for path in folder.rglob("*")).encode(), f"names in {folder}")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found |= self._in_file(path)
        return found

    def in_tables(self, warehouse: Warehouse) -> set[Trace]:
        """The contents in any row of any table of the warehouse's datasets."""
        found = set()
        for name, rows in _rows(warehouse):
            found |= self.in_bytes("\n".join(rows).encode(), f"table {name}")
        return found

    def _add(self, fragment: bytes, content: int) -> None:
        for spelling, needle in _spellings(fragment):
            if len(needle) >= SHORTEST:
                self._needles.setdefault(needle[:SHORTEST], []).append((needle, spelling, content))

    def _candidates(self, data: bytes) -> Iterator[int]:
        """Offsets at which some needle's first eight bytes may stand: their hash is that of a needle's."""
        for shift in range(min(SHORTEST, max(0, len(data) - SHORTEST + 1))):
            words = np.frombuffer(data, dtype="<u8", offset=shift, count=(len(data) - shift) // SHORTEST)
            hits = np.flatnonzero(self._marked[_hashes(words)])
            yield from (shift + SHORTEST * int(hit) for hit in hits)

    def _in_file(self, path: Path) -> set[Trace]:
        found: set[Trace] = set()
        kept = b""
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found |= self.in_bytes(kept + chunk, str(path))
                kept = chunk[-self._longest :]
        return found


def spelled(content: bytes) -> dict[str, bytes]:
    """A content in every way that a leak may spell it: what `Search` must find, to show that it can."""
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


def _hashes(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4), by the golden ratio of 64 bits."""
    return (words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _HASH_BITS)


def _fragments(content: bytes) -> Iterator[bytes]:
    """Start, middle and end of a content; nothing of one that is too short or too uniform to be told from chance."""
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
    yield "as it is", fragment
    yield "hex", fragment.hex().encode()
    yield "HEX", fragment.hex().upper().encode()
    for shift, skipped in ((0, 0), (1, 2), (2, 3)):
        # Base64 of the fragment inside a longer content: three alignments, without the ends that depend on neighbours.
        encoded = base64.b64encode(bytes(shift) + fragment)[skipped : (shift + len(fragment)) * 8 // 6]
        yield "base64", encoded
        if encoded != (safe := encoded.translate(bytes.maketrans(b"+/", b"-_"))):
            yield "base64url", safe
    for name, spelled in (("repr", repr(fragment)[2:-1].encode()), ("percent", quote_from_bytes(fragment).encode())):
        if spelled != fragment:
            yield name, spelled
    try:
        text = fragment.decode()
    except UnicodeDecodeError:
        return
    yield "UTF-16-LE", text.encode("utf-16-le")
    yield "UTF-16-BE", text.encode("utf-16-be")
    if (escaped := json.dumps(text)[1:-1].encode()) != fragment:
        yield "JSON", escaped


def _rows(warehouse: Warehouse) -> Iterator[tuple[str, list[str]]]:
    """Every table, with the names of its columns and its rows as JSON."""
    config = warehouse.config
    for dataset in (config.events, config.snapshots, config.subjects, config.audit):
        for item in warehouse.client.list_tables(f"{config.project}.{dataset}"):
            name = f"{dataset}.{item.table_id}"
            live = warehouse.client.get_table(item.reference)
            field = live.time_partitioning.field if live.time_partitioning else None
            where = f"WHERE `{field}` > TIMESTAMP '0001-01-01'" if field else ""
            rows = warehouse.query(f"SELECT TO_JSON_STRING(t) AS row_json FROM `{name}` AS t {where}")  # noqa: S608
            yield name, [*(column.name for column in live.schema), *(row["row_json"] for row in rows)]
