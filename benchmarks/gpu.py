"""`make bench-gpu`: parity, throughput, decoding and memory on this machine's CUDA device, in less than four minutes.

It writes benchmarks/results/gpu.json, gpu.md and gpu.svg, which name the card.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.decoding import photograph
from benchmarks.figures import Figure, figure, seconds
from benchmarks.report import show, store
from benchmarks.work import Work, minilm, resnet50
from encoders.batch_encoder import BatchEncoder
from encoders.families import family_of
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.family import Model
from encoders.image_model import ImageModel, prepare
from encoders.networks import ImageNetwork
from encoders.precision import LOWEST_TOLERANCE, Precision
from encoders.runtimes.eager import Eager
from encoders.spec import EncoderSpec
from rawless.cli.output import echo
from rawless.content import ImageLimits
from rawless.errors import UserError
from rawless.privacy import Raw

DEADLINE = 200.0
"""Seconds after which no further encoder is measured."""
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16", "fp16")
REQUIRED_SHARE = {"fp16": ">= 0.8"}
_TOLERANCE = 1e-3
_ROUNDS = 3
_TEXTS, _TOKENS, _IMAGES = 1_024, 32, 64
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Contender:
    """An encoder to measure, and how its model is loaded for CUDA or for a CPU."""

    work: Work
    load: Callable[[bool], Model[Any]]

    def encoder(self, precision: Precision, device: torch.device) -> BatchEncoder[Any]:
        """Return the encoder in a precision; on CUDA its parity with the CPU was checked. Raises UserError."""
        tolerance = 8 * LOWEST_TOLERANCE[precision] or _TOLERANCE
        spec = self.work.spec.model_copy(update={"precision": precision, "tolerance": tolerance})
        encoder = BatchEncoder(spec, self.load(device.type == "cuda"), device)
        encoder.accelerate()
        return encoder


def contenders(images: int = 1_500, texts: int = 6_000) -> Iterator[Contender]:
    """Yield ResNet-50 and DINOv2-small with seeded weights, and MiniLM, with photographs and texts."""
    resnet = resnet50(images)
    assert isinstance(resnet.spec, TorchvisionSpec)  # noqa: S101 - `resnet50` makes one
    preprocessing = resnet.spec.preprocessing
    yield Contender(resnet, _loader(resnet.spec))
    dino = Work("dinov2-small", resnet.spec, resnet.payloads)
    yield Contender(dino, lambda cuda: ImageModel(dinov2_small, preprocessing, cuda=cuda))
    small = minilm(texts)
    yield Contender(small, _loader(small.spec))


def _loader(spec: EncoderSpec) -> Callable[[bool], Model[Any]]:
    return lambda cuda: family_of(spec).load_model(spec, cuda=cuda)


def dinov2_small() -> torch.nn.Module:
    """Return a network of DINOv2-small's shape with weights drawn from a seed; they are as fast as trained ones."""
    from transformers import Dinov2Config, Dinov2Model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = Dinov2Model(Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6))
    return ImageNetwork(body, lambda output: output.last_hidden_state[:, 0], l2_normalise=True).eval()


def measure_encoder(contender: Contender, precision: Precision, device: torch.device) -> list[Figure]:
    """Return parity, throughput, share of the limit and memory of one encoder in one precision."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    of, payloads = contender.work.label, contender.work.payloads
    try:
        encoder = contender.encoder(precision, device)
    except UserError:  # it produces other vectors than the CPU
        return [figure("gpu", of, f"{precision}, agrees with the CPU", [0], "1 is yes", ">= 1")]
    inputs = _inputs(contender.work.spec)
    reference = Eager(contender.load(False).network, _CPU)
    few = tuple(tensor[:8] for tensor in inputs)
    apart = np.abs(encoder._runtime(*few) - reference(*few)).max()
    model = [_model_alone(encoder, inputs, device) for _ in range(_ROUNDS)]
    prepared = [len(payloads) / seconds(lambda: _prepare(encoder, payloads)) for _ in range(2)]
    whole = [len(payloads) / seconds(lambda: encoder.encode([Raw(each) for each in payloads])) for _ in range(_ROUNDS)]
    shares = [each / min(max(model), max(prepared)) for each in whole]
    figures = [
        figure("gpu", of, f"{precision}, largest difference from fp32 on the CPU", [1e6 * float(apart)], "millionths"),
        figure("gpu", of, f"{precision}, model alone", model, "a second"),
        figure("gpu", of, f"{precision}, decoding or tokenizing alone", prepared, "a second"),
        figure("gpu", of, f"{precision}, encoder", whole, "a second"),
        figure("gpu", of, f"{precision}, encoder / its limit", shares, "ratio", REQUIRED_SHARE.get(precision, "")),
    ]
    if device.type == "cuda":
        used = torch.cuda.max_memory_allocated() / 1e6
        figures.append(figure("gpu", of, f"{precision}, memory of the device", [used], "MB"))
    return figures


def measure_decoding(decoders: Sequence[str]) -> list[Figure]:
    """Return the milliseconds for a JPEG of 12 megapixels by decoder, one at a time."""
    spec, content = resnet50(1).spec, photograph()
    assert isinstance(spec, TorchvisionSpec)  # noqa: S101 - `resnet50` makes one
    figures = []
    for decoder in decoders:
        how = spec.preprocessing.model_copy(update={"decoder": decoder})
        prepare(content, how, ImageLimits())  # the first call loads the library
        times = [seconds(partial(prepare, content, how, ImageLimits())) for _ in range(_ROUNDS)]
        figures.append(figure("gpu", "12 megapixels", f"decoded by {decoder}", [1e3 * each for each in times], "ms"))
    return figures


def _model_alone(encoder: BatchEncoder[Any], inputs: Sequence[torch.Tensor], device: torch.device) -> float:
    """Return the items a second of full batches that are already in pinned memory."""
    batches, threads = (40, 2) if device.type == "cuda" else (1, 1)

    def run() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: encoder._runtime(*inputs), range(batches)))

    return batches * len(inputs[0]) / seconds(run)


def _prepare(encoder: BatchEncoder[Any], payloads: Sequence[bytes]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda payload: encoder.prepare(Raw(payload)), payloads))


def _inputs(spec: EncoderSpec) -> tuple[torch.Tensor, ...]:
    """Return the arguments of one full batch."""
    rng = torch.Generator().manual_seed(0)
    if spec.modality == "image":
        inputs: tuple[torch.Tensor, ...] = (
            torch.randint(0, 256, (_IMAGES, 3, 224, 224), dtype=torch.uint8, generator=rng),
        )
    else:
        ids = torch.randint(1_000, 20_000, (_TEXTS, _TOKENS), generator=rng)
        inputs = (ids, torch.zeros_like(ids), torch.ones_like(ids))
    return tuple(tensor.pin_memory() for tensor in inputs) if torch.cuda.is_available() else inputs


def main() -> None:
    """Measure, print and store; exit with code 2 where there is no CUDA device."""
    if not torch.cuda.is_available():
        sys.stderr.write(
            "torch finds no CUDA device on this machine, so nothing was measured: run it on one with a GPU.\n"
        )
        sys.exit(2)
    started, device = time.monotonic(), torch.device("cuda")
    figures, left_out = measure_decoding(("pillow", "pillow_draft")), []
    try:
        figures += measure_decoding(("nvjpeg",))
    except RuntimeError:
        left_out.append("nvjpeg, which this torchvision lacks")
    for contender in contenders():
        for precision in PRECISIONS:
            if time.monotonic() - started > DEADLINE:
                left_out.append(f"{contender.work.label} in {precision}, for which the time was too short")
            else:
                figures += measure_encoder(contender, precision, device)
    store("gpu", figures)
    show(figures, f"Medians of {_ROUNDS} rounds")
    if left_out:
        echo(f"Not measured: {'; '.join(left_out)}.")


if __name__ == "__main__":
    main()
