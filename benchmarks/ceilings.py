"""Count what an encoder reads, writes and computes for an item, from which a GPU's ceiling follows.

Run it with `python -m benchmarks.ceilings`: it writes benchmarks/results/ceilings.json. It times nothing.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import RESULTS
from benchmarks.work import minilm, resnet50
from encoders.families import family_of
from encoders.family import Inputs
from encoders.precision import Precision
from encoders.runtimes.arithmetic import cast_weights, compute_in
from encoders.runtimes.fold_batch_norm import fold_batch_norm
from encoders.spec import EncoderSpec
from rawless.cli.output import echo

FILE = RESULTS / "ceilings.json"
TOKENS = 32
"""Of a text, about the mean of the benchmarks' texts."""
_CPU = torch.device("cpu")
_VARIANTS: tuple[tuple[str, Precision, bool], ...] = (
    ("fp32", "fp32", False),
    ("fp32, folded", "fp32", True),
    ("fp16, folded", "fp16", True),
)


@dataclass(frozen=True)
class Count:
    """What a network needs for one item, operation by operation as torch runs it on a CPU."""

    activations: int
    """Bytes that the operations read and write beside the weights."""
    weights: int
    """Bytes of weights, which are read once for a whole batch."""
    operations: int
    """Floating point operations of matrix products and convolutions."""

    def ceiling(self, bandwidth: float, arithmetic: float, batch: int) -> tuple[float, str]:
        """Return the items a second that a device cannot exceed, and what limits them: memory or arithmetic."""
        limits = {
            "memory": bandwidth / (self.activations + self.weights / batch),
            "arithmetic": arithmetic / self.operations,
        }
        limit = min(limits, key=lambda name: limits[name])
        return limits[limit], limit


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of the tensors that each operation reads and writes; a view moves none."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._weights = weights
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        read, written = _tensors((args, kwargs)), _tensors(outputs)
        storages = {_storage(tensor) for tensor in read}
        is_view = not func._schema.is_mutable and any(_storage(tensor) in storages for tensor in written)
        if not is_view:
            moved = [tensor for tensor in (*read, *written) if _storage(tensor) not in self._weights]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in moved)
        return outputs


def count(spec: EncoderSpec, precision: Precision, *, is_folded: bool) -> Count:
    """Return what one item of an encoder needs in a precision."""
    model = family_of(spec).load_model(spec, cuda=False)
    network = copy.deepcopy(model.network).eval()
    if is_folded:
        fold_batch_norm(network)
    return count_network(network, _item(spec), precision)


def count_network(network: torch.nn.Module, inputs: Inputs, precision: Precision) -> Count:
    """Return what a network needs for a batch of one."""
    cast_weights(network, precision)
    weights = [*network.parameters(), *network.buffers()]
    traffic = _Traffic({_storage(tensor) for tensor in weights})
    with torch.inference_mode(), compute_in(precision, _CPU), FlopCounterMode(display=False) as operations, traffic:
        network(*inputs)
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights)
    return Count(traffic.bytes, size, operations.get_total_flops())


def counts() -> dict[str, dict[str, Count]]:
    """Return the stored counts by encoder and variant."""
    stored = json.loads(FILE.read_text())
    return {name: {variant: Count(**each) for variant, each in group.items()} for name, group in stored.items()}


def _item(spec: EncoderSpec) -> Inputs:
    if spec.modality == "image":
        return (torch.zeros(1, 3, 224, 224, dtype=torch.uint8),)
    ids = torch.ones(1, TOKENS, dtype=torch.int64)
    return ids, torch.zeros_like(ids), torch.ones_like(ids)


def _tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def main() -> None:
    """Write the counts."""
    found = {
        work.label: {name: asdict(count(work.spec, precision, is_folded=fold)) for name, precision, fold in _VARIANTS}
        for work in (minilm(1), resnet50(1))
    }
    FILE.write_text(json.dumps(found, indent=2) + "\n")
    echo(f"Wrote benchmarks/results/{FILE.name}.")


if __name__ == "__main__":
    main()
