"""Compare the orchestrator over HTTP at many callers of images with the encoder's own batch throughput.

The load generator and the service share the processors with the encoder, so what they use beside it is shown, too: the
seconds of the processor for each image, of which the encoder's own part is measured in the same round.
"""

import os
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.figures import Figure, figure, ratios
from benchmarks.load import generate_load
from benchmarks.serving import serving
from encoders.catalogue import lookup
from encoders.encoder import Encoder
from encoders.load import load
from rawless.privacy import Raw

ENCODER = "resnet18-seeded@1.0.0"
SIZE, KINDS = (640, 480), 32
CALLERS, IMAGES = 16, 480
REQUIRED = ">= 0.9"
_TICKS = os.sysconf("SC_CLK_TCK")


def measure(count: int) -> list[Figure]:
    """Images per second of both, and the milliseconds of the processor for each image."""
    contents = photographs()
    bodies = [contents[number % KINDS] for number in range(IMAGES)]
    own_rates: list[float] = []
    own_costs: list[float] = []
    rates: list[float] = []
    costs: list[float] = []
    generating: list[float] = []
    stream = {"stream": "bench", "modality": "image", "encoders": [ENCODER]}
    with TemporaryDirectory() as folder, serving(Path(folder), stream) as (url, process):
        encoder = load(lookup(ENCODER), "cpu")
        for number in range(count + 1):
            rate, cost = _encode(encoder, bodies)
            before, own = _used(process), time.process_time()
            result = generate_load(url, bodies, CALLERS, "image/jpeg")
            if result.failed:
                raise RuntimeError(f"{result.failed} requests failed.")
            if number:  # the first round warms up
                own_rates.append(rate)
                own_costs.append(cost)
                rates.append(result.rate)
                generating.append((time.process_time() - own) / IMAGES * 1000)
                costs.append((_used(process) - before) / IMAGES * 1000)
    of = f"ResNet-18, JPEGs of {SIZE[0]} by {SIZE[1]}"
    beside = [service - own for service, own in zip(costs, own_costs, strict=True)]
    return [
        figure("serving-images", of, "the encoder's own batches", own_rates, "images/s"),
        figure("serving-images", of, f"{CALLERS} callers", rates, "images/s"),
        figure("serving-images", of, f"{CALLERS} callers / own batches", ratios(rates, own_rates), "ratio", REQUIRED),
        figure("serving-images", of, "the encoder, processor time an image", own_costs, "ms"),
        figure("serving-images", of, "the service beside it, processor time an image", beside, "ms"),
        figure("serving-images", of, "the load generator, processor time an image", generating, "ms"),
        figure("serving-images", of, "encoder / service, processor time", ratios(own_costs, costs), "ratio", REQUIRED),
    ]  # fmt: skip


def photographs() -> list[bytes]:
    """Return parts of a real photograph, each as a JPEG."""
    from sklearn.datasets import load_sample_images

    original = Image.fromarray(load_sample_images().images[0]).resize((SIZE[0] + KINDS, SIZE[1] + KINDS))
    files = []
    for number in range(KINDS):
        file = BytesIO()
        original.crop((number, number, number + SIZE[0], number + SIZE[1])).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def _encode(encoder: Encoder, contents: Sequence[bytes]) -> tuple[float, float]:
    """Images per second, and the milliseconds of the processor for each, of this process and those that decode."""
    started, used = time.perf_counter(), _used(os.getpid())
    outcomes = encoder.encode([Raw(content) for content in contents])
    seconds = time.perf_counter() - started
    if not all(np.isfinite(getattr(outcome, "vector", np.nan)).all() for outcome in outcomes):
        raise RuntimeError("An image was rejected.")
    return len(contents) / seconds, (_used(os.getpid()) - used) / len(contents) * 1000


def _used(process: int) -> float:
    """The seconds of the processor that a process and its children have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    listed = " ".join(each.read_text() for each in Path(f"/proc/{process}/task").glob("*/children"))
    return sum(map(int, fields[11:15])) / _TICKS + sum(map(_used, map(int, listed.split())))
