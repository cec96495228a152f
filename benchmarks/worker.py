"""Simulate a streaming worker: events arrive at a given rate, and 48 threads take bundles of one to five of them.

Each thread runs the steps of the job, Parse, Fetch, Encode and Write, as a runner does. All of it is real, the batcher,
the decoder, the rows and the client of the sink, except for the arrival of events and the network: servers in other
processes take as long to open a connection and to answer as BigQuery and a store of objects do. What is served is
compared with what decoding and the model alone allow, which is measured in the same round.

A worker as it is deployed has four cores for an L4. Here it is simulated with the share of an L4 that the cores of this
machine would have. With a whole GPU for them, the cores are what limits, and the ratio says which part of their time
goes into decoding.

`python -m benchmarks.worker JPEGs --rate 1000 --in-process` prints the figures of one case and stores nothing.
"""

import logging
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import torch
import typer

from benchmarks.append_server import OPEN_SECONDS, append_server
from benchmarks.capacity import MACHINES
from benchmarks.chains import chain_of
from benchmarks.figures import Figure, figure
from benchmarks.object_store import serving
from benchmarks.report import show
from benchmarks.work import Work, messages, minilm, resnet18
from encoders.batch_encoder import BatchEncoder
from encoders.batcher import PREPARING
from encoders.family import Model
from encoders.image_model import ImageModel, budget
from encoders.load import build, load_model
from encoders.spec import Vector
from encoders.text_model import CUDA_BUDGET
from rawless.events.event import Delivery
from rawless.events.messages import decode_message
from rawless.events.stream import Stream
from rawless.metering import table as metrics
from rawless.privacy import Raw, Reason
from rawless.privacy.pseudonyms import KeySource, create_key_file
from rawless.steps import encode
from rawless.steps.chain import Chain
from rawless.steps.encode import Encode
from rawless.steps.fetch import Fetch
from rawless.steps.parse import Parse
from rawless.steps.write import Write
from rawless.warehouse.append import storage_writer
from rawless.warehouse.client import Warehouse

THREADS = 48
RATES = (100, 1_000, 5_000)
LARGEST_BUNDLE = 5
ANSWER_SECONDS = 0.02
"""How long the warehouse takes to answer a request."""
OBJECT_SECONDS = 0.05
"""How long an object takes to arrive that an event names."""
WARM_UP_SECONDS, SECONDS = 2.0, 6.0
CORES_OF_A_GPU = MACHINES["L4"].cpus
REQUIRED = ">= 0.9"
_ALONE_SECONDS = 2.0
_PREFIX = "gs://bench/objects/"


class Stub:
    """A network on a device of its own, which takes a fixed time for a batch and for each item, and no core."""

    name = "stub"

    def __init__(self, dimension: int, batch_seconds: float, item_seconds: float) -> None:
        self._vector = np.full(dimension, dimension**-0.5, np.float32)
        self._batch_seconds, self._item_seconds = batch_seconds, item_seconds
        self._device = threading.Lock()

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        """See `Runtime`. Threads take turns, as batches do on a GPU; waiting releases Python's lock as CUDA does."""
        size = len(inputs[0])
        with self._device:
            time.sleep(self._batch_seconds + self._item_seconds * size)
        return np.tile(self._vector, (size, 1))


@dataclass(frozen=True)
class Case:
    """What arrives at the worker, and the encoder for it."""

    label: str
    work: Work
    encoder: BatchEncoder[Any]
    uses_cores: bool
    """Whether the model runs on the cores that also decode."""
    claims: bool = False
    """Whether events name their contents, which are objects in a store that takes a moment to answer."""
    required: str = ""
    """Which share of what is possible must be served."""
    rates: Sequence[int] = RATES
    """Offered events a second."""


def cases(*, isolated: bool = True) -> Iterator[Case]:
    """Yield the cases: a model that costs no core, for images and texts, and one that does.

    Images are decoded in children, as in a job, unless they are not `isolated`.
    """
    images, texts = resnet18(200), minilm(0)
    texts = Work("short_texts", texts.spec, [text for text in messages(3_000) if len(text) <= 200][:1_000])
    # About what an L4 takes for ResNet-50 and for MiniLM: 900 images and 10,000 short texts a second.
    shared = _on_stub(images, 0.004, 0.001 * CORES_OF_A_GPU / (os.cpu_count() or 1), isolated)
    whole = _on_stub(images, 0.004, 0.001, isolated)
    for label, claims in (("JPEGs", False), ("JPEGs by claim checks", True)):
        yield Case(f"{label}, worker as deployed", images, shared, uses_cores=False, claims=claims, required=REQUIRED)
        yield Case(f"{label}, stub of a GPU", images, whole, uses_cores=False, claims=claims, rates=RATES[1:])
    yield Case("short texts, stub of a GPU", texts, _on_stub(texts, 0.004, 0.00008, isolated), uses_cores=False)
    on_cpu = build(images.spec, torch.device("cpu"))
    on_cpu.accelerate()
    on_cpu.measure()
    if isolated:
        on_cpu.isolate()
    yield Case("JPEGs, ResNet-18 on the CPU", images, on_cpu, uses_cores=True, required=REQUIRED)


def measure(count: int) -> list[Figure]:
    """What is served of each offered rate, in batches of which size and how late; and its share of what is possible."""
    return [each for case in cases() for each in measure_case(case, count)]


def measure_case(case: Case, count: int, rates: Sequence[int] | None = None) -> list[Figure]:
    """The figures of one case."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for _ in range(count):
        for figure_of, value in _round(case, rates or case.rates):
            found.setdefault(figure_of, []).append(value)
    return [
        figure("worker", case.label, name, values, unit, required) for (name, unit, required), values in found.items()
    ]


def _round(case: Case, rates: Sequence[int]) -> Iterator[tuple[tuple[str, str, str], float]]:
    """Yield figures as name, unit, bound and value. What is possible is measured before and after each rate."""
    alone = [_alone(case)]
    for rate in rates:
        served = serve(case, rate)
        alone.append(_alone(case))
        possible = min(rate, statistics.mean(each.possible(case) for each in alone[-2:]))
        of = f"{rate:,} a second"
        yield (f"{of}: served", "a second", ""), served.rate
        yield (f"{of}: mean batch", "events", ""), served.batch
        yield (f"{of}: bundle, p50", "ms", ""), served.p50
        yield (f"{of}: bundle, p99", "ms", ""), served.p99
        yield (f"{of}: served / possible", "ratio", case.required), served.rate / possible
    yield ("decoding alone", "a second", ""), statistics.mean(each.decoding for each in alone)
    yield ("the model alone", "a second", ""), statistics.mean(each.model for each in alone)


@dataclass(frozen=True)
class _Alone:
    decoding: float
    model: float

    def possible(self, case: Case) -> float:
        """Return the events a second that decoding and the model allow, which may need the same cores."""
        return 1 / (1 / self.decoding + 1 / self.model) if case.uses_cores else min(self.decoding, self.model)


def _alone(case: Case) -> _Alone:
    return _Alone(_decoding(case), _modelling(case))


def _on_stub(work: Work, batch_seconds: float, item_seconds: float, isolated: bool) -> BatchEncoder[Any]:
    """Return the encoder of a workload with a stub as its network, and batches as on a GPU."""
    model: Model[Any] = load_model(work.spec, cuda=False)
    if isinstance(model, ImageModel):
        model.budget, model._memory_format = budget(224, cuda=True), torch.channels_last
    else:
        model.budget = CUDA_BUDGET
    encoder: BatchEncoder[Any] = BatchEncoder(work.spec, model, torch.device("cpu"))
    encoder._runtime = Stub(work.spec.dimension, batch_seconds, item_seconds)
    encoder._turn = nullcontext()
    encoder.measure()
    if isolated:
        encoder.isolate()
    return encoder


def _decoding(case: Case) -> float:
    """Return how many items a second the threads that prepare can do alone."""
    items = [Raw(payload) for payload in case.work.payloads]

    def prepare(first: int, limit: float) -> int:
        done = first
        while time.perf_counter() < limit:
            if isinstance(case.encoder.prepare(items[done % len(items)]), Reason):
                raise SystemExit("The benchmark is invalid: an item was rejected.")
            done += 1
        return done - first

    with ThreadPoolExecutor(PREPARING) as threads:
        list(threads.map(case.encoder.prepare, items[: 4 * PREPARING]))  # children start with the first items
        started = time.perf_counter()
        total = sum(threads.map(prepare, range(PREPARING), [started + _ALONE_SECONDS] * PREPARING))
        return total / (time.perf_counter() - started)


def _modelling(case: Case) -> float:
    """Return how many items a second the model can do alone, in full batches."""
    prepared = [case.encoder.prepare(Raw(payload)) for payload in case.work.payloads]
    costs, limits = [case.encoder.model.cost(item) for item in prepared], case.encoder.model.budget
    size = max(1, min(len(prepared), limits.capacity, limits.cost // max(1, round(statistics.mean(costs)))))
    batch, runs = prepared[:size], 0
    started = time.perf_counter()
    while time.perf_counter() - started < _ALONE_SECONDS:
        case.encoder._forward(batch)
        runs += 1
    return runs * size / (time.perf_counter() - started)


@dataclass(frozen=True)
class Served:
    """What a worker did with what was offered."""

    rate: float
    """Events a second whose rows are written."""
    batch: float
    """The mean size of a batch."""
    p50: float
    """Milliseconds from taking a bundle to its rows being written; what waits for a thread is not at the worker."""
    p99: float


def serve(case: Case, rate: float) -> Served:
    """Offer events to a worker at a rate, and return what it served after the first seconds."""
    with (
        append_server(OPEN_SECONDS, ANSWER_SECONDS) as warehouse,
        tempfile.TemporaryDirectory() as folder,
        serving(case.work.payloads, OBJECT_SECONDS) if case.claims else nullcontext(),
    ):
        key, ref = Path(folder) / "key", case.work.spec.ref
        create_key_file(key)
        with patch.object(encode, "load", lambda *_: case.encoder):
            chains = [_chain(case.work, warehouse, key) for _ in range(THREADS)]
        items, batches = metrics.BATCH_ITEMS.total(ref)
        arrivals = _Arrivals(case, rate)
        with ThreadPoolExecutor(THREADS) as threads:
            done = [each for found in threads.map(lambda chain: _run(chain, arrivals), chains) for each in found]
        more_items, more_batches = metrics.BATCH_ITEMS.total(ref)
        storage_writer(warehouse).client.transport.close()
    counted = [each for each in done if WARM_UP_SECONDS <= each.end - arrivals.started < WARM_UP_SECONDS + SECONDS]
    taken = sorted(1e3 * (each.end - each.start) for each in counted)
    return Served(
        sum(each.size for each in counted) / SECONDS,
        (more_items - items) / (more_batches - batches),
        taken[len(taken) // 2],
        taken[len(taken) * 99 // 100],
    )


class _Arrivals:
    """Bundles that arrive at a constant rate of events, for all threads."""

    def __init__(self, case: Case, rate: float) -> None:
        self._payloads, self._stream, self._rate = case.work.payloads, case.work.stream.stream, rate
        self._claims = case.claims
        self._random = random.Random(1)  # noqa: S311
        self._lock = threading.Lock()
        self._events = 0
        self.started = time.perf_counter()

    def take(self) -> Sequence[Delivery]:
        """Wait for the next bundle and return it; an empty one at the end."""
        with self._lock:
            first, size = self._events, self._random.randint(1, LARGEST_BUNDLE)
            self._events += size
        at = (first + size) / self._rate  # when its last event has arrived
        if at > WARM_UP_SECONDS + SECONDS:
            return []
        now = time.perf_counter() - self.started
        if now > WARM_UP_SECONDS + SECONDS:
            return []
        if at > now:
            time.sleep(at - now)
        return [self._delivery(number) for number in range(first, first + size)]

    def _delivery(self, number: int) -> Delivery:
        attributes = {"event_id": f"e-{number}", "occurred_at": datetime.now(UTC).isoformat(), "channel": "chat"}
        attributes |= {"stream": self._stream, "subject_id": f"customer-{number // 3}"}
        place = number % len(self._payloads)
        if self._claims:
            return decode_message(str(number), b"", attributes | {"uri": f"{_PREFIX}{place}"})
        return decode_message(str(number), self._payloads[place], attributes)


@dataclass(frozen=True)
class _Done:
    size: int
    start: float
    end: float


def _chain(work: Work, warehouse: Warehouse, key: Path) -> Chain:
    """Return the steps of one thread, each of which takes the outputs of the one before."""
    fields, attributes = work.stream.model_dump(exclude={"limits"}), {"channel": {"enum": ["chat", "email"]}}
    stream = Stream.model_validate({**fields, "attributes": attributes, "uri_prefixes": [_PREFIX]})
    source = KeySource(path=str(key))
    encode = Encode([work.spec], "cpu", stream, source)
    return chain_of(Parse(stream, source), Fetch(stream.stream), encode, Write(warehouse))


def _run(chain: Chain, arrivals: _Arrivals) -> list[_Done]:
    done = []
    while bundle := arrivals.take():
        started = time.perf_counter()
        chain.run(bundle)
        done.append(_Done(len(bundle), started, time.perf_counter()))
    return done


def main(
    case: Annotated[str, typer.Argument(help="A part of the label of a case.")],
    rate: Annotated[list[int] | None, typer.Option(help="Events a second; may be given several times.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 1,
    in_process: Annotated[bool, typer.Option("--in-process", help="Decode images in this process.")] = False,
) -> None:
    """Print the figures of the cases with this label."""
    logging.disable(logging.WARNING)
    chosen = [each for each in cases(isolated=not in_process) if case in each.label]
    show([each for one in chosen for each in measure_case(one, rounds, rate)], f"Medians of {rounds} rounds")


if __name__ == "__main__":
    typer.run(main)
