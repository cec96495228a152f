"""Compare encoding with and without remembering contents: where half of the events repeat one, and where none does."""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks.bundles import make_event, run_bundle
from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.throughput import check_complete
from benchmarks.work import Work, minilm
from encoders.encoder import Encoded, Encoder
from encoders.load import load
from encoders.remembering import Remembering, forget
from rawless.content import ImageLimits
from rawless.events.stream import Unchanged
from rawless.privacy import Raw, Reason
from rawless.privacy.pseudonyms import KeySource, create_key_file
from rawless.steps.elements import ParsedEvent
from rawless.steps.encode import Encode
from rawless.steps.meter import NoMeter

COUNT = 400
REMEMBERED = 100_000
REQUIRED_OF_REPEATS, REQUIRED_OF_NEW = ">= 1.6", "<= 2"


def measure(count: int) -> list[Figure]:
    """Events per second of both, and the ratios of remembering to encoding each event."""
    work = minilm(COUNT)
    new = list(dict.fromkeys(work.payloads))
    half = new[: len(new) // 2]
    with tempfile.TemporaryDirectory() as folder:
        create_key_file(Path(folder) / "key")
        key = KeySource(path=str(Path(folder) / "key"))
        repeats = _measure(work, "half of the events repeat one", [*half, *half], key, count, REQUIRED_OF_REPEATS)
        return repeats + _measure(work, "no event repeats one", new, key, count) + _added(work, new, count)


def _measure(
    work: Work, of: str, payloads: Sequence[bytes], key: KeySource, count: int, required: str = ""
) -> list[Figure]:
    events = [make_event(Work(work.label, work.spec, payloads), number) for number in range(len(payloads))]
    memory = Unchanged(remember=REMEMBERED)
    plain, remembering = "each event is encoded", "contents are remembered"
    times = rounds(
        {
            plain: lambda: seconds(lambda: _encode(work, events, key, None)),
            remembering: lambda: seconds(lambda: _encode(work, events, key, memory)),
        },
        count,
    )
    speeds = [
        figure("unchanged", of, name, [len(events) / duration for duration in values], "a second")
        for name, values in times.items()
    ]
    ratio = ratios(times[plain], times[remembering])
    return [*speeds, figure("unchanged", of, f"{remembering} / {plain}", ratio, "ratio", required)]


class _Instant:
    """An encoder that needs no time."""

    spec, runtime, capacity = None, "none", 1

    def __init__(self) -> None:
        self._outcome: Future[Encoded | Reason] = Future()
        self._outcome.set_result(Encoded(np.zeros(384, np.float32), truncated=False))

    def submit(self, *_: object) -> "Future[Encoded | Reason]":
        return self._outcome


def _added(work: Work, payloads: Sequence[bytes], count: int) -> list[Figure]:
    """The processor's time that remembering adds to new content, which other programs do not change."""
    encoder, added, shares = load(work.spec, "cpu"), [], []
    for _ in range(count):
        memory = Remembering(cast(Encoder, _Instant()), b"s" * 32, ImageLimits(), REMEMBERED)
        items = [Raw(payload + b"%d" % number) for number in range(10) for payload in payloads]
        one = _processor_seconds(memory.submit, items) / len(items)
        started = time.process_time()
        encoder.encode([Raw(payload) for payload in payloads])
        whole = (time.process_time() - started) / len(payloads)
        added.append(1e6 * one)
        shares.append(100 * one / whole)
    return [
        figure("unchanged", "no event repeats one", "added to an event", added, "µs of a core"),
        figure("unchanged", "no event repeats one", "added to encoding it", shares, "%", REQUIRED_OF_NEW),
    ]


def _processor_seconds(work: Callable[[Raw[bytes]], object], items: Sequence[Raw[bytes]]) -> float:
    started = time.process_time()
    for item in items:
        work(item)
    return time.process_time() - started


def _encode(work: Work, events: list[ParsedEvent], key: KeySource, memory: Unchanged | None) -> None:
    forget()  # what the round before encoded
    step = Encode([work.spec], "cpu", work.stream.model_copy(update={"unchanged": memory}), key)
    step.setup(NoMeter())
    check_complete(run_bundle(step, events), len(events))
