"""Compare events whose payloads are objects in a store that takes 50 ms to answer with events that carry them.

The steps of the job parse, fetch and encode the same payloads: in one large bundle, and in bundles of one to five in 48
threads, as a streaming worker has them. The store is another process on this machine, and its time is part of what it
is compared with.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import cycle
from queue import Queue
from typing import Any
from unittest.mock import patch

from benchmarks.chains import Count, chain_of, run_counted
from benchmarks.figures import Figure, figure, peak_memory, ratios, rounds, seconds
from benchmarks.object_store import serving
from benchmarks.throughput import check_complete
from benchmarks.work import Work, minilm, resnet18
from rawless.events.event import Delivery
from rawless.events.stored_objects import read_object
from rawless.events.stream import Stream
from rawless.privacy import Raw
from rawless.privacy.pseudonyms import KeySource
from rawless.steps import fetch
from rawless.steps.chain import Chain
from rawless.steps.encode import Encode
from rawless.steps.fetch import Fetch, Fetcher
from rawless.steps.parse import Parse
from rawless.steps.step import Step
from rawless.warehouse.rows import RejectionRow

LATENCY_SECONDS = 0.05
THREADS = 48
SIZES = (1, 2, 3, 4, 5)
REQUIRED = ">= 0.9"

OBJECTS, OBJECT_BYTES, MAX_BYTES = 1_500, 1_000_000, 100_000_000
"""Objects whose next step is slow, so that what was read waits for it; and the bytes that may wait in the process."""
REQUIRED_MEMORY = "<= 200"

_PREFIX = "gs://bench/objects/"


def measure(count: int) -> list[Figure]:
    """Events per second of both, for each encoder and kind of bundle, and the memory that waiting objects take."""
    speeds = [figure for work in (resnet18(200), minilm(1_000)) for figure in _measure(work, count)]
    return [*speeds, *(_measure_memory(limit) for limit in (MAX_BYTES, None))]


def _measure(work: Work, count: int) -> list[Figure]:
    inline = [_delivery(work, number, _carried(work, payload)) for number, payload in enumerate(work.payloads)]
    claims = [_delivery(work, number, {"uri": f"{_PREFIX}{number}"}) for number in range(len(inline))]
    kinds: Mapping[str, Callable[[Work, Sequence[Delivery]], int]] = {
        f"one bundle of {len(inline):,}": lambda work, events: run_counted(_steps(work), events),
        f"bundles of 1 to 5 in {THREADS} threads": _run_concurrently,
    }

    def side(kind: str, events: Sequence[Delivery]) -> Callable[[], float]:
        return lambda: seconds(lambda: check_complete(kinds[kind](work, events), len(events)))

    sides = {kind: (f"{kind}, inline", f"{kind}, by claim check") for kind in kinds}
    with serving(work.payloads, LATENCY_SECONDS):
        times = rounds(
            {
                name: side(kind, events)
                for kind, names in sides.items()
                for name, events in zip(names, (inline, claims), strict=True)
            },
            count,
        )
    return [
        *(
            figure("claims", work.label, name, [len(inline) / each for each in values], "a second")
            for name, values in times.items()
        ),
        *(
            figure("claims", work.label, f"{kind}, ratio", ratios(times[whole], times[claimed]), "ratio", REQUIRED)
            for kind, (whole, claimed) in sides.items()
        ),
    ]


def _carried(work: Work, payload: bytes) -> Mapping[str, object]:
    return {"text": payload.decode()} if work.spec.modality == "text" else {"payload": payload}


def _delivery(work: Work, number: int, payload: Mapping[str, object]) -> Delivery:
    ids = {"event_id": f"e-{number}", "occurred_at": datetime.now(UTC).isoformat(), "stream": work.stream.stream}
    return Delivery(str(number), Raw({**ids, **payload}), 1_000)


def _steps(work: Work) -> list[Step[Any, Any]]:
    return [*_reading_steps(work), Encode([work.spec], "cpu", _stream(work), KeySource())]


def _reading_steps(work: Work) -> list[Step[Any, Any]]:
    return [Parse(_stream(work), KeySource()), Fetch(work.stream.stream)]


def _stream(work: Work) -> Stream:
    return work.stream.model_copy(update={"subject": "none", "uri_prefixes": (_PREFIX,)})


def _run_concurrently(work: Work, events: Sequence[Delivery]) -> int:
    """Process the events in small bundles and return the number of rows."""
    bundles, start = [], 0
    for size in cycle(SIZES):
        if start >= len(events):
            break
        bundles.append(events[start : start + size])
        start += size
    counts, idle = [Count() for _ in range(THREADS)], Queue[Chain]()
    for counted in counts:
        idle.put(chain_of(*_steps(work), counted))

    def run(bundle: Sequence[Delivery]) -> None:
        chain = idle.get()
        try:
            chain.run(bundle)
        finally:
            idle.put(chain)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(run, bundles))
    return sum(counted.rows for counted in counts)


class _Slow(Count):
    """A last step that takes 5 ms for each event."""

    def process(self, element: Any) -> Iterator[RejectionRow]:
        """See `Step.process`."""
        time.sleep(0.005)
        return super().process(element)


def _measure_memory(max_bytes: int | None) -> Figure:
    """The memory that a process gains while it reads objects of 1 MB, in MB."""
    with serving([bytes(OBJECT_BYTES)], LATENCY_SECONDS):
        command = [sys.executable, "-m", "benchmarks.claims", str(max_bytes or OBJECTS * OBJECT_BYTES)]
        gained = float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    what = f"{OBJECTS:,} objects of 1 MB, {'all' if max_bytes is None else f'{max_bytes // 1_000_000} MB'} may wait"
    return figure("claims", "memory", what, [gained], "MB", REQUIRED_MEMORY if max_bytes else "")


def _read_slowly(max_bytes: int) -> float:
    """Read the objects in twelve bundles, whose next step takes 5 ms for each, and return the MB that were gained."""
    work = Work("memory", minilm(1).spec, ())
    fetcher = Fetcher(read_object, max_bytes=max_bytes)
    patch.object(fetch, "fetcher", lambda: fetcher).start()
    before = peak_memory()

    def run(numbers: Sequence[int]) -> None:
        deliveries = [_delivery(work, number, {"uri": f"{_PREFIX}{number}"}) for number in numbers]
        chain_of(*_reading_steps(work), _Slow()).run(deliveries)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(run, [range(start, OBJECTS, 12) for start in range(12)]))
    return peak_memory() - before


if __name__ == "__main__":
    print(_read_slowly(int(sys.argv[1])))
