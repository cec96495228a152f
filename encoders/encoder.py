"""The one call: a list of `Raw` in, for each a vector or a reason out."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from encoders.spec import EncoderSpec, Vector
from rawless.content import ImageLimits
from rawless.errors import UserError
from rawless.privacy import Raw, Reason

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An embedding of shape (dimension,), finite, and whether the end of a long text was cut off before."""

    vector: Vector
    truncated: bool


@dataclass(frozen=True, slots=True)
class BatchRun:
    """One pass of items through the model."""

    size: int
    seconds: float


class Encoder(Protocol):
    """A loaded, verified encoder. Safe to call from several threads, whose items share batches."""

    @property
    def spec(self) -> EncoderSpec:
        """What the encoder is."""
        ...

    @property
    def runtime(self) -> str:
        """What runs the model: its name, and on which device."""
        ...

    @property
    def places(self) -> int:
        """How many items the encoder holds at most, before `submit` blocks."""
        ...

    def submit(self, item: Raw[bytes], limits: ImageLimits = ...) -> "Future[Encoded | Reason]":
        """The future embedding of one item, or why there is none; one bad item never costs its neighbours.

        `limits` hold for pictures. Blocks while the encoder holds as many items as it may. The future raises
        Unavailable when the fault is not the item's: out of memory at a batch of one, or an encoder that no longer
        reproduces its probe.
        """
        ...

    def encode(self, items: Sequence[Raw[bytes]], limits: ImageLimits = ...) -> list[Encoded | Reason]:
        """For each item, in order, what its future holds. Raises as they do."""
        ...

    def runs(self) -> list[BatchRun]:
        """The batches that were run since this was last asked, by whomever."""
        ...


def pick_device(device: Device) -> torch.device:
    """`auto` is CUDA where it is there. Raises UserError for `cuda` where it is not."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device is cuda, but torch sees no CUDA device here: use cpu or auto.")
    return torch.device(device)
