"""An encoder with an adapter, and rows of the encoders around it, for tests that need no learned map."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from encoders.adapt import adapt
from encoders.adapter import AdapterKind
from encoders.adapter_map import AdapterMap, Hidden
from encoders.seal import seal
from encoders.spec import EncoderSpec, Vector
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from tests.shop import make_row


class Adapted(NamedTuple):
    """The old encoder, the new one, and the old one with a map into the space of the new one."""

    source: EncoderSpec
    target: EncoderSpec
    spec: EncoderSpec
    map: AdapterMap


def make_adapted(
    source: EncoderSpec, make_spec: Callable[..., EncoderSpec], folder: Path, kind: AdapterKind = "affine",
    dimension: int = 16,
) -> Adapted:  # fmt: skip
    """Return an adapter of drawn numbers from the tiny encoder to one of another pooling."""
    target = seal(make_spec(name="target", pooling="cls"))
    map_ = _draw(kind, source.dimension, dimension)
    return Adapted(source, target, adapt(source, target, map_, "target-from-tiny", "1.0.0", folder, 1e-4), map_)


def _draw(kind: AdapterKind, full_dimension: int, dimension: int) -> AdapterMap:
    numbers = np.random.default_rng(3)

    def draw(*shape: int) -> Vector:
        return numbers.standard_normal(shape).astype(np.float32) / 4

    hidden = Hidden(draw(8, full_dimension), draw(8), draw(dimension, 8)) if kind == "residual_mlp" else None
    return AdapterMap(kind, draw(dimension, full_dimension), draw(dimension), hidden, l2_normalise=True)


def upload(warehouse: Warehouse, spec: EncoderSpec, numbers: Iterable[int], **fields: Any) -> None:
    """Append the rows of uploads by an encoder; the vector follows from the event's number."""
    own = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
    append_all(
        warehouse,
        [make_row(number, {**own, "embedding": vector(number, spec.dimension), **fields}) for number in numbers],
    )


def vector(number: int, dimension: int) -> Vector:
    """Return the vector of an upload."""
    return np.random.default_rng(number).standard_normal(dimension, np.float32)
