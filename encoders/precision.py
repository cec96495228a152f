"""The precisions that a network may compute in, and how far each moves a vector; see docs/decisions/0024."""

from collections.abc import Mapping
from typing import Literal

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
LOWEST_TOLERANCE: Mapping[str, float] = {"fp32": 0.0, "tf32": 5e-4, "bf16": 4e-3, "fp16": 5e-4}
"""The relative error of a rounded number: 2^-11 of tf32 and fp16, 2^-8 of bf16. Of fp32 the spec's author decides."""
MIN_COSINE: dict[Precision, float] = {"fp32": 0.99999, "tf32": 0.99999, "bf16": 0.999, "fp16": 0.99999}
"""The lowest cosine between a vector of a runtime and that of the reference in the same precision."""


def is_half(precision: Precision) -> bool:
    """Return whether numbers of the precision have 16 bits."""
    return precision in ("bf16", "fp16")
