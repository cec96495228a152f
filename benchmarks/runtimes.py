"""Compare the runtimes that could execute an encoder on a CPU, on the same batches: docs/decisions/0011."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.work import Work, minilm, resnet18, resnet50
from encoders.family import Inputs
from encoders.load import build
from encoders.precision import MIN_COSINE
from encoders.runtimes.eager import Eager
from encoders.runtimes.openvino import OpenVino, convert
from encoders.spec import Vector

BATCHES = 8
"""Batches per round."""
_TEXTS, _TOKENS, _IMAGES = 16, 32, 8
_SIDE, _PRODUCT = 4_096, "matrix product of torch, arithmetic"


def measure(count: int) -> list[Figure]:
    """The speed of each runtime relative to torch, and the cosine between their vectors."""
    return [figure for work in (resnet18(1), resnet50(1), minilm(1)) for figure in _measure(work, count)]


def _measure(work: Work, count: int) -> list[Figure]:
    torch._dynamo.reset()
    encoder = build(work.spec, torch.device("cpu"))
    reference = encoder._runtime
    assert isinstance(reference, Eager)  # noqa: S101 - `build` uses torch
    batch = _batch(work)
    runtimes: dict[str, Callable[..., Vector]] = {
        "torch": reference,
        "torch.compile": _compiled(reference.network),
        "ONNX Runtime": _onnx(reference.network, batch),
        "OpenVINO": OpenVino(convert(reference.network, batch)),
    }
    sides = {name: _side(runtime, batch) for name, runtime in runtimes.items()}
    times = rounds({**sides, _PRODUCT: _matrix_product}, count)
    figures = _arithmetic(work.label, _operations(reference.network, batch), times)
    for name in list(runtimes)[1:]:
        cosine = _cosine(runtimes[name](*batch), reference(*batch))
        figures += [
            figure("runtimes", work.label, f"{name} / torch", ratios(times["torch"], times[name]), "ratio"),
            figure("runtimes", work.label, f"{name}, cosine", [cosine], "lowest", f">= {MIN_COSINE['fp32']}"),
        ]
    return figures


def _arithmetic(of: str, operations: float, times: dict[str, list[float]]) -> list[Figure]:
    """The arithmetic throughput of the model and of a plain matrix product."""
    return [
        figure(
            "runtimes",
            of,
            "OpenVINO, arithmetic",
            [operations / duration / 1e9 for duration in times["OpenVINO"]],
            "GFLOP/s",
        ),
        figure("runtimes", of, _PRODUCT, [2 * _SIDE**3 / duration / 1e9 for duration in times[_PRODUCT]], "GFLOP/s"),
    ]


def _operations(network: torch.nn.Module, batch: Inputs) -> float:
    """Floating point operations per round."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*batch)
    return float(BATCHES * counter.get_total_flops())


def _matrix_product() -> float:
    matrix = torch.ones(_SIDE, _SIDE)
    return seconds(lambda: matrix @ matrix)


def _side(runtime: Callable[..., Vector], batch: Inputs) -> Callable[[], float]:
    return lambda: seconds(lambda: [runtime(*batch) for _ in range(BATCHES)])


def _batch(work: Work) -> Inputs:
    rng = torch.Generator().manual_seed(0)
    if work.spec.modality == "image":
        return (torch.randint(0, 256, (_IMAGES, 3, 224, 224), dtype=torch.uint8, generator=rng),)
    ids = torch.randint(1_000, 20_000, (_TEXTS, _TOKENS), generator=rng)
    mask = torch.ones_like(ids)
    mask[0, _TOKENS // 2 :] = 0
    return ids, torch.zeros_like(ids), mask


def _compiled(network: torch.nn.Module) -> Callable[..., Vector]:
    torch._inductor.config.freezing = True
    compiled = torch.compile(network)

    def run(*inputs: torch.Tensor) -> Vector:
        with torch.no_grad():
            vectors: Vector = compiled(*inputs).numpy()
            return vectors

    return run


def _onnx(network: torch.nn.Module, batch: Inputs) -> Callable[..., Vector]:
    names = [f"input{number}" for number in range(len(batch))]
    axes = {name: {0: "batch", 1: "width"} if len(batch) > 1 else {0: "batch"} for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            network, batch, path, input_names=names, output_names=["vectors"], dynamic_axes=axes, dynamo=False
        )
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(*inputs: torch.Tensor) -> Vector:
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        vectors: Vector = session.run(None, feed)[0]
        return vectors

    return run


def _cosine(vectors: Vector, expected: Vector) -> float:
    """The lowest cosine similarity in the batch."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((vectors * expected).sum(axis=1) / lengths).min())
