"""What it costs to record metrics, as a share of encoding a short text on a CPU.

The same events pass the same step and batcher with an encoder that computes nothing, with and without recording, since
the difference would not show in a whole job. All are seconds of the processor, which other programs do not change.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from unittest.mock import patch

from apache_beam.metrics.execution import MetricsContainer
from apache_beam.runners.worker import statesampler
from apache_beam.utils.counters import CounterFactory

from benchmarks.bundles import make_event, run_bundle
from benchmarks.figures import Figure, figure, ratios
from benchmarks.throughput import check_complete
from benchmarks.trivial import Trivial
from benchmarks.work import Work, minilm
from encoders.encoder import Encoder
from encoders.load import load
from pipelines.beam_meter import BeamMeter
from rawless.privacy.pseudonyms import KeySource
from rawless.steps import encode
from rawless.steps.elements import ParsedEvent
from rawless.steps.meter import Meter, NoMeter

REQUIRED = "<= 0.005"
BUNDLE = 16
TIMES = 20
"""How often the events pass the encoder that computes nothing."""


def measure(count: int) -> list[Figure]:
    """Microseconds a text for recording and for encoding, and their ratio."""
    work = minilm(400)
    events = [make_event(work, number) for number in range(len(work.payloads))]
    measured = Trivial()
    measured.measure()
    silent, meter = Trivial(), BeamMeter()
    meter.start()
    many = events * TIMES
    encoding, recording = [], []
    for _ in range(count):
        encoding.append(_cpu(work, load(work.spec, "cpu"), NoMeter(), events))
        with _step_of_beam():
            recorded = _cpu(work, measured, meter, many, meter.forward)
        recording.append(recorded - _cpu(work, silent, NoMeter(), many))
    return [
        figure("metering", work.label, "recording", [1e6 * each for each in recording], "µs of CPU"),
        figure("metering", work.label, "encoding a text", [1e6 * each for each in encoding], "µs of CPU"),
        figure("metering", work.label, "recording / encoding", ratios(recording, encoding), "ratio", REQUIRED),
    ]


def _cpu(
    work: Work,
    encoder: Encoder,
    meter: Meter,
    events: Sequence[ParsedEvent],
    forward: Callable[[], None] = lambda: None,
) -> float:
    """Return the seconds of the processor, of all threads, that an event takes in bundles of some."""
    with patch.object(encode, "load", lambda *_: encoder):
        step = encode.Encode([work.spec], "cpu", work.stream.model_copy(update={"subject": "none"}), KeySource())
        step.setup(meter)
    started, rows = time.process_time(), 0
    for at in range(0, len(events), BUNDLE):
        rows += run_bundle(step, events[at : at + BUNDLE])
        forward()
    seconds = time.process_time() - started
    check_complete(rows, len(events))
    return seconds / len(events)


def _step_of_beam() -> AbstractContextManager[object]:
    """Return a block in which this thread is one of Beam's, in a step that keeps metrics."""
    sampler = statesampler.StateSampler("bench", CounterFactory())
    statesampler.set_current_tracker(sampler)
    state: AbstractContextManager[object] = sampler.scoped_state(
        "step", "process", metrics_container=MetricsContainer("step")
    )
    return state
