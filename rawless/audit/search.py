"""Search for raw content where it must not be: in bytes and files, in all spellings and formats that leaks have."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ahocorasick_rs import BytesAhoCorasick
from PIL import Image

from rawless.audit import pictures as images
from rawless.audit.formats import FORMATS, HEAD, streams
from rawless.audit.formats.source import Budget, Incomplete, Part, Source
from rawless.audit.pictures import Pictures
from rawless.audit.spellings import SHORTEST, fold, fragments, is_searchable, spellings

_CHUNK = 1 << 22
_START = 16
"""Bytes of a needle by which it is looked up."""
_DEEPEST = 4
"""How many formats within each other are read."""


@dataclass(frozen=True, order=True)
class Trace:
    """An occurrence of content: its place, its spelling, and the content's position in what was searched for."""

    place: str
    spelling: str
    content: int


class Search:
    """Searches for fragments of any number of contents (Aho and Corasick, 1975), in data as it is and folded.

    `unread` lists the places that could not be read to their end, each with the reason. `bytes` counts what was
    searched, with what was unpacked.
    """

    def __init__(self, contents: Iterable[bytes], pictures: Sequence[Image.Image] = ()) -> None:
        """Prepare the search. `contents` counts all contents, `too_short` those that cannot be searched for.

        Pictures are found even if they were stored again; their traces follow those of the contents.
        """
        self.contents = 0
        self.too_short = 0
        self.bytes = 0
        self.unread: set[str] = set()
        self._pictures = Pictures(pictures) if pictures else None
        exact: dict[bytes, list[tuple[str, int]]] = {}
        folded: dict[bytes, list[tuple[str, int]]] = {}
        for position, content in enumerate(contents):
            self.contents += 1
            searchable = list(fragments(content))
            self.too_short += not searchable
            for fragment in searchable:
                exact.setdefault(fragment, []).append(("as it is", position))
                for spelling, needle in spellings(fragment):
                    if is_searchable(short := fold(needle), fragment):
                        folded.setdefault(short, []).append((spelling, position))
                    elif len(needle) >= SHORTEST:
                        exact.setdefault(needle, []).append((spelling, position))
        self._exact, self._folded = _Automaton(exact), _Automaton(folded)

    def in_bytes(self, data: bytes, place: str) -> set[Trace]:
        """Return the traces in `data`, with `place` as their place."""
        return self._in(Source(BytesIO(data)), place, Budget(len(data)))

    def in_folder(self, folder: Path) -> set[Trace]:
        """Return the traces in all files below a folder, and in their names."""
        paths = sorted(folder.rglob("*"))
        traces = self.in_bytes("\n".join(map(str, paths)).encode(), f"names in {folder}")
        for path in paths:
            if path.is_file():
                traces |= self.in_file(path)
        return traces

    def in_file(self, path: Path) -> set[Trace]:
        """Return the traces in a file. Raises OSError if it cannot be opened."""
        with path.open("rb") as file:
            return self._in(Source(file, path), str(path), Budget(path.stat().st_size))

    def in_parts(self, parts: Iterator[Part], place: str, size: int) -> set[Trace]:
        """Return the traces in parts of something that may be unpacked like a file of `size` bytes."""
        return self._in_parts(parts, place, Budget(size), 0)

    def _in(self, source: Source, place: str, budget: Budget, depth: int = 0) -> set[Trace]:
        """Return the traces in a file's bytes and in its parts."""
        head = source.file.read(HEAD)
        found: set[tuple[str, int]] = set()
        starts: set[int] = set()
        image_starts: set[int] = set()
        overlap = max(self._exact.overlap, images.OVERLAP if self._pictures else 0)
        for at, exact, folded in _pieces(source.file, overlap, self._folded.overlap):
            found |= self._exact.find(exact) | self._folded.find(folded)
            starts |= {at + match.start() for match in streams.START.finditer(exact)}
            if self._pictures:
                image_starts |= {at + match.start() for match in images.START.finditer(exact)}
        self.bytes += source.file.tell()
        traces = {Trace(place, spelling, content) for spelling, content in found}
        if self._pictures:
            alike = self._pictures.within(source.file, sorted(image_starts))
            traces |= {Trace(place, "a similar picture", self.contents + position) for position in alike}
        known = next((each for each in FORMATS if each.recognises(head)), None)
        if not known and not starts:
            return traces
        if depth == _DEEPEST:
            self.unread.add(f"{place}: more than {_DEEPEST} formats within each other")
            return traces
        source.file.seek(0)
        parts = known.parts(source, budget) if known else streams.embedded(source.file, sorted(starts), budget)
        return traces | self._in_parts(parts, place, budget, depth)

    def _in_parts(self, parts: Iterator[Part], place: str, budget: Budget, depth: int) -> set[Trace]:
        traces: set[Trace] = set()
        try:
            for part in parts:
                traces |= self._in(Source(BytesIO(part.data)), f"{place}: {part.name}", budget, depth + 1)
        except Incomplete as reason:
            self.unread.add(f"{place}: {reason}")
        except Exception as error:  # noqa: BLE001 - whatever a library raises; its text may quote the file
            self.unread.add(f"{place}: {type(error).__name__}")
        return traces


class _Automaton:
    """Finds any number of needles in one pass over the data, by their first bytes, which takes less to prepare."""

    def __init__(self, sources: dict[bytes, list[tuple[str, int]]]) -> None:
        self._sources = sources
        starts: dict[bytes, list[bytes]] = {}
        for needle in sources:
            starts.setdefault(needle[:_START], []).append(needle)
        self._needles = list(starts.values())
        self._automaton = BytesAhoCorasick(list(starts))
        self.overlap = max(map(len, sources), default=1) - 1

    def find(self, data: bytes) -> set[tuple[str, int]]:
        """Return spelling and content of the needles in the data."""
        matches = self._automaton.find_matches_as_indexes(data, overlapping=True)
        needles = {needle for start, at, _ in matches for needle in self._needles[start] if data.startswith(needle, at)}
        return {source for needle in needles for source in self._sources[needle]}


def _pieces(file: BinaryIO, overlap: int, folded_overlap: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield a file in pieces that overlap: the place of the piece, the piece as it is, and folded."""
    exact = folded = pending = b""
    at = 0
    file.seek(0)
    while chunk := file.read(_CHUNK):
        tail = exact[max(0, len(exact) - overlap) :]
        exact = tail + chunk
        pending += chunk
        cut = len(pending) - pending.endswith(b"\\")  # it may start an escaped white space
        folded = folded[max(0, len(folded) - folded_overlap) :] + fold(pending[:cut])
        pending = pending[cut:]
        yield at - len(tail), exact, folded
        at += len(chunk)
