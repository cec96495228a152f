"""Computing a torch network in a spec's precision."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock

import torch

from encoders.precision import Precision, is_half

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_launching = Lock()
"""Whether matrices are multiplied in TF32 is a setting of the whole process."""


def cast_weights(network: torch.nn.Module, precision: Precision) -> None:
    """Cast the weights that autocast would otherwise cast for every batch; the vectors are the same."""
    if is_half(precision):
        for module in network.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.modules.conv._ConvNd):
                module.to(_HALF[precision])


@contextmanager
def compute_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in the precision on the device; on CUDA what is launched inside, by one thread at a time."""
    half = _HALF.get(precision)
    with nullcontext() if half is None else torch.autocast(device.type, dtype=half, cache_enabled=False):
        if device.type != "cuda":
            yield  # a CPU computes tf32 in fp32
            return
        with _launching:
            torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
            torch.backends.cudnn.allow_tf32 = precision == "tf32"
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
            yield
