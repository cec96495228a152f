"""Torch on CUDA with less work for each batch, and the vectors of the reference within the spec's tolerance.

Batch normalisation is folded into convolutions, tensors are channels last, and batches of images are replayed as CUDA
graphs. Each thread copies on a stream of its own, from and to pinned memory, so that the copies of one batch overlap
the computation of another; it waits once for a batch.
"""

import logging
import threading
from collections.abc import Sequence
from typing import Any

import torch

from encoders.family import Inputs
from encoders.precision import Precision
from encoders.runtimes.arithmetic import cast_weights, compute_in
from encoders.runtimes.fold_batch_norm import fold_batch_norm
from encoders.spec import Vector

_log = logging.getLogger(__name__)
GRAPH_SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Items of the batches that have a graph; another batch up to the largest runs in the next larger graph."""
_WARM_UPS = 3
"""Runs before a graph is captured, in which libraries choose their kernels and allocate."""


class Cuda:
    """Runs a network on a CUDA device. Several threads may call it at a time."""

    def __init__(
        self, network: torch.nn.Module, device: torch.device, precision: Precision, examples: Sequence[Inputs]
    ) -> None:
        """Prepare the network in place; its weights must be fp32. `examples` show the shapes of its arguments."""
        self.name = f"torch {torch.__version__} on CUDA"
        self._device, self._precision = device, precision
        self._network = optimised(network, precision).to(device)
        self._compute, self._threads = torch.cuda.Stream(device), threading.local()  # type: ignore[no-untyped-call]
        self._graphs: dict[int, _Graph] = {}
        torch.cuda.synchronize(device)
        if has_one_shape(examples):
            self._capture(examples[0])

    def __call__(self, *inputs: torch.Tensor) -> Vector:
        """See `Runtime`."""
        copies = self._stream_of_this_thread()
        with torch.inference_mode(), torch.cuda.stream(copies):
            moved = [tensor.to(self._device, non_blocking=True) for tensor in inputs]
            with compute_in(self._precision, self._device):
                self._compute.wait_stream(copies)
                with torch.cuda.stream(self._compute):
                    vectors = self._run(moved)
                copies.wait_stream(self._compute)
            copied = vectors.to("cpu", non_blocking=True)
            # The tensors are referred to until here, so that no stream reuses their memory before.
            copies.synchronize()
            as_numpy: Vector = copied.numpy().copy()  # pinned memory is for the next batch
            return as_numpy

    def _run(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        size = inputs[0].shape[0]
        if (graph := self._graphs.get(graph_size(size) or 0)) is None:
            return self._forward(*inputs)
        return graph.replay(inputs, size)

    def _forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._network(*inputs).float()
        return vectors

    def _capture(self, example: Inputs) -> None:
        """Capture a graph for each size, the largest first, whose memory the others share."""
        try:
            with torch.inference_mode(), compute_in(self._precision, self._device):
                pool = torch.cuda.graph_pool_handle()
                for size in reversed(GRAPH_SIZES):
                    inputs = [tensor[:1].to(self._device).expand(size, *tensor.shape[1:]).clone() for tensor in example]
                    self._graphs[size] = _Graph(self._forward, inputs, self._compute, pool)
        except RuntimeError as error:  # an operation that waits for the device, or too little memory
            _log.warning("This encoder runs without CUDA graphs (%s), slower.", type(error).__name__)
            self._graphs.clear()

    def _stream_of_this_thread(self) -> torch.cuda.Stream:
        if not hasattr(self._threads, "stream"):
            self._threads.stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream: torch.cuda.Stream = self._threads.stream
        return stream


class _Graph:
    """The recorded kernels for one batch size, with their arguments and results at fixed addresses."""

    def __init__(self, forward: Any, inputs: Sequence[torch.Tensor], stream: torch.cuda.Stream, pool: Any) -> None:
        self._inputs = inputs
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                forward(*inputs)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self._vectors = forward(*inputs)

    def replay(self, inputs: Sequence[torch.Tensor], size: int) -> torch.Tensor:
        """Return the vectors of `size` items; the other rows of the graph compute items of earlier batches again."""
        for fixed, given in zip(self._inputs, inputs, strict=True):
            fixed[:size].copy_(given)
        self._graph.replay()
        vectors: torch.Tensor = self._vectors[:size].clone()
        return vectors


def optimised(network: torch.nn.Module, precision: Precision) -> torch.nn.Module:
    """Return the network, changed in place: batch normalisation folded, channels last, weights cast."""
    fold_batch_norm(network)
    cast_weights(network, precision)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def graph_size(items: int) -> int | None:
    """Return the size of the smallest graph for a batch, or None if it is larger than all."""
    return next((size for size in GRAPH_SIZES if size >= items), None)


def has_one_shape(examples: Sequence[Inputs]) -> bool:
    """Return whether items have one shape, as images do and texts do not: each shape needs a graph."""
    return len({tuple(tensor.shape[1:] for tensor in inputs) for inputs in examples}) == 1
