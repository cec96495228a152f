"""What a search found in each sink, how much of the sink it read, and what it could not reach."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from rawless.audit.search import Search, Trace
from rawless.audit.sinks import Sink, sink, sinks

Status = Literal["clean", "traces", "partial", "unreachable"]
Reason = Literal["no_permission", "no_answer", "not_named", "not_readable", "not_read_to_end", "no_interface"]
"""Why a place was not searched, or only partly."""


@dataclass
class Finding:
    """What was found in one sink."""

    sink: Sink
    places: int = 0
    """Tables, files, processes or objects that were searched."""
    bytes: int = 0
    traces: set[Trace] = field(default_factory=set)
    missed: Counter[Reason] = field(default_factory=Counter)
    """Places that were not searched, or not to their end, by reason."""

    @property
    def status(self) -> Status:
        """Traces before everything else: a sink with traces has failed, whatever else was searched."""
        if self.traces:
            return "traces"
        if self.missed:
            return "partial" if self.places else "unreachable"
        return "clean"

    @property
    def reason(self) -> Reason | None:
        """The most frequent reason why something was not searched."""
        return self.missed.most_common(1)[0][0] if self.missed else None


class Findings:
    """Collects what one search finds, sink by sink."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self._found: dict[str, Finding] = {}

    def __iter__(self) -> Iterator[Finding]:
        """Yield the findings in the order of the registry."""
        yield from (self._found[each.code] for each in sinks() if each.code in self._found)

    @contextmanager
    def searching(self, where: Sink | str, places: int = 1) -> Iterator[Finding]:
        """Yield the finding of a sink; what the block searches, or cannot read to its end, is added to it."""
        finding = self.of(where)
        bytes_before, unread_before = self.search.bytes, len(self.search.unread)
        yield finding
        finding.places += places
        finding.bytes += self.search.bytes - bytes_before
        if unread := len(self.search.unread) - unread_before:
            finding.missed["not_read_to_end"] += unread

    def in_bytes(self, where: Sink | str, data: bytes, place: str) -> None:
        """Search data that was read from a sink."""
        with self.searching(where) as finding:
            finding.traces |= self.search.in_bytes(data, place)

    def miss(self, where: Sink | str, reason: Reason, places: int = 1) -> None:
        """Record that places of a sink were not searched."""
        if places:
            self.of(where).missed[reason] += places

    def of(self, where: Sink | str) -> Finding:
        """Return the finding of a sink, given by its code or itself."""
        found = sink(where) if isinstance(where, str) else where
        return self._found.setdefault(found.code, Finding(found))
