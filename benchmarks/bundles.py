"""Compare many small bundles with one large bundle, which shows the effect of the batcher.

A streaming worker has about twelve threads, each with a bundle of a few events. Here, threads run the step of the job
and share the encoder of the process, as they do there.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from queue import Queue

from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.throughput import check_complete
from benchmarks.work import Work, minilm, resnet18, resnet50
from rawless.events.event import Event
from rawless.privacy import Raw
from rawless.privacy.pseudonyms import KeySource
from rawless.steps.elements import ParsedEvent
from rawless.steps.encode import Encode
from rawless.steps.meter import NoMeter

THREADS = 12
SMALL = 4
REQUIRED = ">= 0.9"


def measure(count: int) -> list[Figure]:
    """Events per second of both, for each encoder."""
    return [figure for work in (resnet18(200), resnet50(96), minilm(1_000)) for figure in _measure(work, count)]


def _measure(work: Work, count: int) -> list[Figure]:
    events = [make_event(work, number) for number in range(len(work.payloads))]
    large, small = f"one bundle of {len(events):,}", f"bundles of {SMALL} in {THREADS} threads"
    sides = {
        large: lambda: seconds(lambda: check_complete(run_bundle(_step(work), events), len(events))),
        small: lambda: seconds(lambda: check_complete(_run_concurrently(work, events), len(events))),
    }
    times, size = rounds(sides, count), len(events)
    return [
        *(
            figure("bundles", work.label, name, [size / duration for duration in times[name]], "a second")
            for name in sides
        ),
        figure("bundles", work.label, "small / large", ratios(times[large], times[small]), "ratio", REQUIRED),
    ]


def _run_concurrently(work: Work, events: list[ParsedEvent]) -> int:
    """Encode the events in small bundles and return the number of rows."""
    bundles = [events[at : at + SMALL] for at in range(0, len(events), SMALL)]
    steps: Queue[Encode] = Queue()
    for _ in range(THREADS):
        steps.put(_step(work))

    def run(bundle: list[ParsedEvent]) -> int:
        step = steps.get()
        try:
            return run_bundle(step, bundle)
        finally:
            steps.put(step)

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(run, bundles))


def run_bundle(step: Encode, events: Iterable[ParsedEvent]) -> int:
    """Process a bundle as Beam does and return the number of rows."""
    step.start()
    rows = sum(1 for event in events for _ in step.process(event))
    return rows + sum(1 for _ in step.finish())


def _step(work: Work) -> Encode:
    step = Encode([work.spec], "cpu", work.stream.model_copy(update={"subject": "none"}), KeySource())
    step.setup(NoMeter())
    return step


def make_event(work: Work, number: int) -> ParsedEvent:
    """Return an event with a payload of a workload."""
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
