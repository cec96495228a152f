"""Processor seconds that an event costs beside its model: decoding, tokenizing, the job; and what a job logs for it.

All are seconds of the processor, which other programs on the machine do not change, unlike seconds of the clock.
"""

import io
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from benchmarks.decoding import SIZE
from benchmarks.figures import Figure, figure
from benchmarks.isolation import cpu_seconds
from benchmarks.object_store import serving
from benchmarks.rows import make_rows
from benchmarks.sink import DIMENSIONS
from benchmarks.throughput import bench_warehouse, job, time_lines
from benchmarks.trivial import Trivial
from benchmarks.work import Work, messages, minilm, photographs, resnet50
from encoders.device import pick_device
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.load import build
from encoders.spec import EncoderSpec
from pipelines.ingest import Ingest
from rawless.events.objects import ObjectLocation
from rawless.events.stored_objects import read_object
from rawless.privacy import Raw
from rawless.steps import encode
from rawless.steps.write import MAX_ROWS
from rawless.warehouse.append import StorageWriter

IMAGES, PHOTOGRAPHS, TEXTS, REQUESTS = 96, 12, 2_000, 4
EVENTS = (200, 2_200)
"""Of two jobs, whose difference is what an event adds."""
QUALITY = 90


def measure(count: int) -> list[Figure]:
    """Return core milliseconds for images, photographs, texts, rows and the job, and the bytes of logs of an event."""
    images, photograph = photographs(IMAGES), photograph_of_12_megapixels()
    spec = resnet50(1).spec
    return [
        figure("preparing", "12 megapixels", "size", [len(photograph) / 1e6], "MB"),
        _prepare("JPEG of 640 by 480", "pillow", spec, images, count),
        *(
            _prepare("12 megapixels", decoder, _decoded_by(spec, decoder), [photograph] * PHOTOGRAPHS, count)
            for decoder in ("pillow", "pillow_draft")
        ),
        _prepare("text", "tokenizing", minilm(1).spec, messages(TEXTS), count),
        _read_object(photograph, count),
        *_rows(count),
        *_jobs(minilm(EVENTS[1]), count),
    ]


def photograph_of_12_megapixels() -> bytes:
    """Return a JPEG as a phone takes it: a real photograph beside mirrored copies of itself.

    An enlarged one has no fine detail: it compresses to a third of the size, and is decoded faster.
    """
    from sklearn.datasets import load_sample_images

    tile = load_sample_images().images[0]
    width, height = SIZE
    pair = np.concatenate([tile, tile[:, ::-1]], axis=1)
    square = np.concatenate([pair, pair[::-1]], axis=0)
    times = (-(-height // square.shape[0]), -(-width // square.shape[1]), 1)
    file = io.BytesIO()
    Image.fromarray(np.tile(square, times)[:height, :width]).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _decoded_by(spec: EncoderSpec, decoder: str) -> EncoderSpec:
    assert isinstance(spec, TorchvisionSpec)  # noqa: S101 - `resnet50` makes one
    return spec.model_copy(update={"preprocessing": spec.preprocessing.model_copy(update={"decoder": decoder})})


def _prepare(of: str, what: str, spec: EncoderSpec, contents: Sequence[bytes], count: int) -> Figure:
    """Milliseconds for one content, prepared as a job does it: images in children, texts in the process."""
    encoder = build(spec, pick_device("cpu"))
    encoder.isolate()
    items = [Raw(content) for content in contents]

    def run() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(encoder.prepare, items))

    run()  # starts the children
    return figure("preparing", of, what, [_milliseconds(run, len(items)) for _ in range(count)], "core ms")


def _read_object(content: bytes, count: int) -> Figure:
    """Milliseconds for reading a photograph from a store in another process, without TLS."""
    location = ObjectLocation("gs", "bench/objects/", ("0",))

    def run() -> None:
        for _ in range(PHOTOGRAPHS):
            if len(read_object(location, len(content))) != len(content):
                raise SystemExit("The benchmark is invalid: an object was not read.")

    with serving([content], 0.0):
        run()  # opens the connection
        values = [_milliseconds(run, PHOTOGRAPHS, time.process_time) for _ in range(count)]
    return figure("preparing", "12 megapixels", "read from a store", values, "core ms")


def _rows(count: int) -> Iterator[Figure]:
    """Milliseconds for one row by the sink; that of the local BigQuery, another process, is not counted."""
    writer = StorageWriter(bench_warehouse())
    for of, dimension in DIMENSIONS.items():
        rows = make_rows("bench_preparing", ["0" * 64] * MAX_ROWS, [datetime.now(UTC)] * MAX_ROWS, dimension)

        def run(rows: Sequence[object] = rows) -> None:
            for _ in range(REQUESTS):
                if writer.append(rows):  # type: ignore[arg-type]
                    raise SystemExit("The benchmark is invalid: rows were rejected.")

        run()
        values = [_milliseconds(run, REQUESTS * MAX_ROWS, time.process_time) for _ in range(count)]
        yield figure("preparing", of, "row", values, "core ms")


def _milliseconds(run: Callable[[], None], items: int, clock: Callable[[], float] = cpu_seconds) -> float:
    before = clock()
    run()
    return 1e3 * (clock() - before) / items


def _jobs(work: Work, count: int) -> Iterator[Figure]:
    """Of jobs whose encoder computes nothing: milliseconds for an event, rows included, and what is printed and logged.

    Logs are those at the level of Dataflow's workers.
    """
    spent, logged, of_a_job = [], [], []
    with patch.object(encode, "load", lambda *_: Trivial()), tempfile.TemporaryDirectory() as folder:
        few, many = (job(work.first(events), Path(folder) / str(events)) for events in EVENTS)
        _run(few, EVENTS[0])  # imports what a job needs
        for _ in range(count):
            few_seconds, few_bytes = _run(few, EVENTS[0])
            many_seconds, many_bytes = _run(many, EVENTS[1])
            spent.append(1e3 * (many_seconds - few_seconds) / (EVENTS[1] - EVENTS[0]))
            of_a_job.append(many_bytes)
            logged.append((many_bytes - few_bytes) / (EVENTS[1] - EVENTS[0]))
    yield figure("preparing", "text", "job without a model", spent, "core ms")
    yield figure("preparing", "logs", "for an event", logged, "bytes")
    yield figure("preparing", "logs", f"for a job of {EVENTS[1]:,} events", of_a_job, "bytes")


def _run(ingest: Ingest, events: int) -> tuple[float, int]:
    """Return the processor seconds of a job, and the bytes that it prints and logs."""
    with _recorded() as written:
        before = time.process_time()
        time_lines(ingest, events)
        return time.process_time() - before, len(written.getvalue().encode())


@contextmanager
def _recorded() -> Iterator[io.StringIO]:
    """Record what is printed, and logged at INFO and above."""
    written, root, before = io.StringIO(), logging.getLogger(), logging.root.manager.disable
    handler, level = logging.StreamHandler(written), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.disable(logging.NOTSET)
    try:
        with redirect_stdout(written), redirect_stderr(written):
            yield written
    finally:
        logging.disable(before)
        root.setLevel(level)
        root.removeHandler(handler)
