"""What moving a stream to another encoder costs, and what becomes of each head: pass, refit or block."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from encoders.spec import EncoderSpec
from rawless.config import parse_duration
from rawless.datasets.cost import CPU_WORKER_PER_HOUR, GIB, STORAGE_PER_GIB_MONTH, WRITE_PER_GIB, row_bytes
from rawless.datasets.snapshots import Manifest, list_manifests
from rawless.errors import UserError
from rawless.heads.registry import heads as registered_heads
from rawless.lifecycle.head_changes import HeadChange, head_changes
from rawless.lifecycle.migration import deployed_heads
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

_BOTH, _UNTIL = (FOLDER / "embedding_event_v1" / f"{name}.sql" for name in ("both_encoders", "events_until"))
RECENT_DAYS = 28
"""The days before the last event from which the events a day are computed: whole weeks."""
ADAPTER_EVENTS = 2_000
"""How many events with both vectors an adapter is learned from."""
MOST_DAYS = 365
"""Logging both encoders for longer is no plan."""
Verdict = Literal["pass", "refit", "block"]


@dataclass(frozen=True)
class HeadPlan:
    """What becomes of one head."""

    head: str
    verdict: Verdict
    """`pass` if nothing has to be trained, `refit` if enough labelled events have both vectors, else `block`."""
    labelled: int | None
    """About how many labelled events have vectors of both encoders; None for a head that no known snapshot judges."""
    needed: int | None
    days: int | None
    """Days of logging both encoders until there are enough, 0 if there are; None if that is not known."""
    reason: str


@dataclass(frozen=True)
class MigrationPlan:
    """What a migration costs. Money is in US dollars."""

    stream: str
    first: str
    second: str
    events_per_day: float
    is_measured: bool
    """Whether the events a day were counted, not given."""
    events: int
    """Of the stream, with a vector of the first encoder."""
    both_events: int
    adapter_days: int | None
    """Days until an adapter can be learned from events with both vectors."""
    days: int
    """Of logging both encoders: those that were given, or that the slowest head needs."""
    rows: int
    """That are written in addition on these days."""
    size: int
    """Of these rows, in logical bytes."""
    write_dollars: float
    storage_dollars: float
    """A month, for these rows."""
    worker_hours: float | None
    """Of encoding these events by the second encoder, on workers of the speed that was given; None without one."""
    worker_dollars: float | None
    heads: tuple[HeadPlan, ...]


@dataclass(frozen=True)
class Question:
    """A migration that somebody considers."""

    stream: str
    first: EncoderSpec
    second: EncoderSpec
    heads: Path
    """The folder of the deployed heads."""
    local_heads: Path
    """The folder of the heads of this machine."""
    days: int | None = None
    """Of logging both encoders; None for what the slowest head needs."""
    events_per_day: float | None = None
    """None for as many as were logged."""
    worker_rate: float | None = None
    """How many events a second one worker encodes by the second encoder, if that is known."""
    margin: float = 0.01
    """How much of its main metric a head may lose on vectors of the second encoder and pass."""


def plan_migration(
    warehouse: Warehouse, asked: Question, report_progress: Callable[[str], None] = lambda _: None
) -> MigrationPlan:
    """Return what it costs to move a stream from one encoder to another. Raises UserError for one without events."""
    first, second = asked.first, asked.second
    values = {"stream": asked.stream, "first": first.fingerprint, "second": second.fingerprint, "days": RECENT_DAYS}
    (found,) = warehouse.query(warehouse.render(_BOTH), parameters(values))
    if not found["first_events"]:
        raise UserError(f"{asked.stream} has no rows of {first.ref}: name the encoder that logs its events first.")
    per_day = asked.events_per_day or _per_day(found)
    judge = _Judge(warehouse, asked, per_day, found["both_events"])
    heads = tuple(judge.plan(change) for change in judge.changes(report_progress))
    adapter_days = _days(ADAPTER_EVENTS - found["both_events"], per_day)
    waits = [each.days for each in heads if each.days is not None] or [adapter_days or 1]
    days = asked.days or max(1, *waits)
    rows = math.ceil(per_day * days)
    size, hours = rows * row_bytes(second.dimension), rows / asked.worker_rate / 3600 if asked.worker_rate else None
    return MigrationPlan(
        stream=asked.stream,
        first=first.ref,
        second=second.ref,
        events_per_day=per_day,
        is_measured=asked.events_per_day is None,
        events=found["first_events"],
        both_events=found["both_events"],
        adapter_days=adapter_days,
        days=days,
        rows=rows,
        size=size,
        write_dollars=size / GIB * WRITE_PER_GIB,
        storage_dollars=size / GIB * STORAGE_PER_GIB_MONTH,
        worker_hours=hours,
        worker_dollars=None if hours is None else hours * CPU_WORKER_PER_HOUR,
        heads=heads,
    )


def _per_day(found: dict[str, Any]) -> float:
    days = math.ceil((found["last_at"] - found["first_at"]) / timedelta(days=1))
    return float(found["recent_events"] / min(RECENT_DAYS, max(1, days)))


class _Judge:
    """Says of each head of a stream what becomes of it."""

    def __init__(self, warehouse: Warehouse, asked: Question, per_day: float, both_events: int) -> None:
        self._warehouse, self._asked = warehouse, asked
        self._per_day, self._both_events = per_day, both_events
        self._manifests = {each.snapshot_id: each for each in list_manifests(warehouse)}
        self._deployed = deployed_heads(warehouse, asked.heads, asked.stream)

    def changes(self, report_progress: Callable[[str], None]) -> list[HeadChange]:
        """Return what the second encoder does to the heads: of each name to the deployed and the newest version."""
        asked = self._asked
        live = {
            f"{head}@{each[asked.first.space]}" for head, each in self._deployed.items() if asked.first.space in each
        }
        newest: dict[str, str] = {}
        for head in registered_heads(self._warehouse, fingerprint=asked.first.fingerprint):
            if self._stream_of(head.snapshot_id) in (asked.stream, None):
                newest.setdefault(head.head, f"{head.head}@{head.version}")
        found = head_changes(
            self._warehouse, asked.local_heads, asked.first, asked.second, refit=False, report_progress=report_progress
        )
        return [each for each in found if each.head in live | set(newest.values())]

    def plan(self, change: HeadChange) -> HeadPlan:
        """Return what becomes of a head."""
        second = self._asked.second
        labelled, needed, days = self._labelled(change)
        version = self._deployed.get(change.head.partition("@")[0], {}).get(second.space)
        lost = change.unchanged_difference
        verdict: Verdict = "block"
        if version is not None:
            verdict, reason = "pass", f"Version {version} for {second.ref} is deployed."
        elif lost and change.holds(self._asked.margin):
            verdict, reason = "pass", f"Unchanged it loses at most {max(0.0, -lost.low):.3f} of {lost.name}."
        elif labelled is None or needed is None:
            reason = change.reasons[0] if change.reasons else "No known snapshot judges it."
        elif labelled >= needed:
            verdict, reason = "refit", f"Train it on a snapshot of {second.ref}."
        else:
            wait = (
                f"{days:,} days of logging both" if days is not None else f"more than {MOST_DAYS} days of logging both"
            )
            verdict, reason = "block", f"Too few labels: {wait}, or an adapter for old rows, whose raw is gone."
        return HeadPlan(change.head, verdict, labelled, needed, 0 if verdict != "block" else days, reason)

    def _labelled(self, change: HeadChange) -> tuple[int | None, int | None, int | None]:
        """Return how many labelled events have both vectors, how many are needed, and the days until there are so many.

        Labels are as frequent among new events as among those that the head's snapshot was built from.
        """
        manifest, total = self._manifests.get(change.snapshot_id or ""), sum(change.of_rows.values())
        if manifest is None or not total:
            return None, None, None
        fingerprint = self._asked.first.fingerprint
        until = parameters({"stream": self._asked.stream, "fingerprint": fingerprint, "until_at": manifest.as_of})
        (found,) = self._warehouse.query(self._warehouse.render(_UNTIL), until)
        rate = min(1.0, total / max(1, found["events"]))
        needed = max(
            math.ceil(change.needed.get(split, 0) * total / rows) for split, rows in change.of_rows.items() if rows
        )
        labelled = max(sum(change.rows.values()), math.floor(self._both_events * rate))
        return labelled, needed, _days(needed - labelled, self._per_day * rate, _maturity(manifest))

    def _stream_of(self, snapshot_id: str | None) -> str | None:
        manifest = self._manifests.get(snapshot_id or "")
        return None if manifest is None else manifest.spec.get("spec", manifest.spec).get("stream")


def _days(missing: int, per_day: float, maturity: timedelta = timedelta(0)) -> int | None:
    """Return the days until so many events have arrived and their labels are known; None if that takes too long."""
    if missing <= 0:
        return 0
    if missing > per_day * MOST_DAYS:
        return None
    return math.ceil(missing / per_day + maturity / timedelta(days=1))


def _maturity(manifest: Manifest) -> timedelta:
    text = manifest.label.get("maturity")
    return parse_duration(text, "maturity") if text else timedelta(0)
