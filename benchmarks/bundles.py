"""Many small bundles against a large one: what the batcher is for.

A streaming worker has some twelve threads, each with a bundle of a few events. Here they are threads with the job's own
step, which share the process's encoder as they do there.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from queue import Queue

from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.throughput import whole
from benchmarks.work import Work, minilm, resnet18, resnet50
from pipelines.elements import ParsedEvent
from pipelines.encode import _Encode
from rawless.content import ImageLimits
from rawless.events.event import Event
from rawless.privacy import Raw

THREADS = 12
SMALL = 4
MUST = ">= 0.9"


def measure(count: int) -> list[Figure]:
    """Events a second of both, for each encoder."""
    return [each for work in (resnet18(200), resnet50(96), minilm(1_000)) for each in _measure(work, count)]


def _measure(work: Work, count: int) -> list[Figure]:
    events = [_event(work, number) for number in range(len(work.payloads))]
    large, small = f"one bundle of {len(events):,}", f"bundles of {SMALL} in {THREADS} threads"
    sides = {
        large: lambda: seconds(lambda: whole(_bundle(_step(work), events), len(events))),
        small: lambda: seconds(lambda: whole(_side_by_side(work, events), len(events))),
    }
    found, size = rounds(sides, count), len(events)
    return [
        *(figure("bundles", work.label, name, [size / each for each in found[name]], "a second") for name in sides),
        figure("bundles", work.label, "small / large", ratios(found[large], found[small]), "ratio", MUST),
    ]


def _side_by_side(work: Work, events: list[ParsedEvent]) -> int:
    """How many rows came out."""
    bundles = [events[at : at + SMALL] for at in range(0, len(events), SMALL)]
    steps: Queue[_Encode] = Queue()
    for _ in range(THREADS):
        steps.put(_step(work))

    def one(bundle: list[ParsedEvent]) -> int:
        step = steps.get()
        try:
            return _bundle(step, bundle)
        finally:
            steps.put(step)

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(one, bundles))


def _bundle(step: _Encode, events: Iterable[ParsedEvent]) -> int:
    """What Beam does with a bundle; how many rows came out."""
    step.start_bundle()
    rows = sum(1 for event in events for _ in step.process(event))
    return rows + sum(1 for _ in step.finish_bundle())


def _step(work: Work) -> _Encode:
    step = _Encode([work.spec], "cpu", ImageLimits())
    step.setup()
    return step


def _event(work: Work, number: int) -> ParsedEvent:
    payload = work.payloads[number]
    event = Event(
        stream=work.stream.stream,
        event_id=f"e-{number}",
        occurred_at=datetime.now(UTC),
        subject_key=None,
        subject_key_id=None,
        attributes=(),
        payload=Raw(payload),
        size=len(payload),
    )
    return ParsedEvent(event, str(number))
