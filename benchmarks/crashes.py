"""What it costs to record which events are in progress, as a share of encoding them on a CPU.

Both are seconds of the processor, which other programs do not change; the record's are too few to show in a whole job.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from benchmarks.bundles import make_event, run_bundle
from benchmarks.figures import Figure, figure, ratios
from benchmarks.throughput import check_complete
from benchmarks.work import Work, minilm, resnet18
from encoders.encoder import Encoded
from encoders.load import load
from rawless.events.stream import Stream
from rawless.privacy import Raw, Reason
from rawless.privacy.pseudonyms import KeySource
from rawless.steps.crash_record import CrashRecord
from rawless.steps.encode import Encode
from rawless.steps.meter import NoMeter
from rawless.steps.recorded import Outcomes, Recorded

REQUIRED = "<= 0.01"


def measure(count: int) -> list[Figure]:
    """Microseconds an event for recording, and their share of encoding it, for a short text and a photograph."""
    return [figure for work in (minilm(400), resnet18(60)) for figure in _measure(work, count)]


def _measure(work: Work, count: int) -> list[Figure]:
    events = [make_event(work, number) for number in range(len(work.payloads))]
    stream: Stream = work.stream.model_copy(update={"subject": "none"})
    step = Encode([work.spec], "cpu", stream, KeySource())
    step.setup(NoMeter())
    encoder = load(work.spec, "cpu")
    done: Future[Encoded | Reason] = Future()
    done.set_result(Reason.INTERNAL)

    def instant(_: Raw[bytes]) -> Outcomes:
        return [done]

    encoding, recording = [], []
    with tempfile.TemporaryDirectory() as folder:
        record = CrashRecord(Path(folder) / "crashes")
        recorded = Recorded(record, record.secret, [encoder])
        for _ in range(count):
            encoding.append(_cpu(lambda: check_complete(run_bundle(step, events), len(events))) / len(events))
            recording.append(
                _cpu(lambda: [recorded.submit(event.event.payload, instant) for event in events]) / len(events)
            )
        record.close()
    return [
        figure("crashes", work.label, "recording an event", [1e6 * each for each in recording], "µs of CPU"),
        figure("crashes", work.label, "encoding an event", [1e6 * each for each in encoding], "µs of CPU"),
        figure("crashes", work.label, "recording / encoding", ratios(recording, encoding), "ratio", REQUIRED),
    ]


def _cpu(work: Callable[[], object]) -> float:
    """Return the seconds of the processor that all threads of this process take for a call."""
    started = time.process_time()
    work()
    return time.process_time() - started
