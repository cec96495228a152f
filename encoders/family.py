"""`Family` and `Model`: what a family of encoders adds to the code that all encoders share.

This module and `encoders.families` are imported to parse a spec, so they import neither torch nor a model library.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, get_args

from encoders.batcher import Budget
from encoders.spec import EncoderSpec
from encoders.weight_sources import WeightSource
from rawless.content import ImageLimits
from rawless.errors import UserError
from rawless.privacy import Reason

if TYPE_CHECKING:
    import torch

P = TypeVar("P")
"""An item that is prepared for the network, such as tokens or pixels."""
Inputs: TypeAlias = "tuple[torch.Tensor, ...]"
"""The arguments of a network for one batch: tensors of shape (batch, ...) in CPU memory."""


class WrongDimension(UserError):
    """The network of a spec has vectors of another dimension than the spec says."""

    def __init__(self, message: str, dimension: int) -> None:
        """`dimension` is that of the network."""
        super().__init__(message)
        self.dimension = dimension


class Model(ABC, Generic[P]):
    """The model of one spec: it prepares items, makes batches of them, and owns the network."""

    load_network: "Callable[[], torch.nn.Module]"
    """Makes the network from the files of the spec. Raises UserError when they do not fit its fields."""
    budget: Budget
    """The limits of a batch, in units of `cost`."""
    quick_bytes: int = 0
    """Up to so many bytes, an item is prepared by the thread that submits it: another one would take longer to start.
    It is a millisecond at most, since a service submits from the thread that answers all requests."""

    @cached_property
    def network(self) -> "torch.nn.Module":
        """From `inputs` to vectors of shape (batch, dimension), on the CPU, in evaluation mode.

        It is made when it is first asked for: a network that was converted before is not needed. Raises UserError.
        """
        return self.load_network()

    def extend_network(self, extend: "Callable[[torch.nn.Module], torch.nn.Module]") -> None:
        """Let the network be what `extend` makes of it, once it is made."""
        load = self.load_network
        self.load_network = lambda: extend(load())

    @abstractmethod
    def prepare(self, content: bytes, limits: ImageLimits) -> P:
        """Return one item in the form that `inputs` takes. Raises Rejected. Called by several threads at a time."""

    def prepare_query(self, content: bytes, limits: ImageLimits) -> P:
        """Return what is searched for in the form that `inputs` takes; by default like any item. See `prepare`."""
        return self.prepare(content, limits)

    def isolate(self) -> None:
        """Let faults of a library that decodes content do no harm from now on, by decoding in other processes.

        Texts are decoded and tokenized in this process: by code in Rust, whose faults are exceptions. Another process
        would double the time of the processor that a short text takes.
        """

    @property
    def reading(self) -> Hashable | None:
        """What models with an equal value do alike with an item; None if that is nothing worth sharing."""
        return None

    def prepare_for_all(
        self, content: bytes, limits: ImageLimits, models: "Sequence[Model[Any]]"
    ) -> list[Any | Reason]:
        """Return one item in the form that each of several models of this `reading` takes, or why it is rejected."""
        raise NotImplementedError

    @abstractmethod
    def cost(self, prepared: P) -> int:
        """Return the cost of one item; a batch costs its most expensive item times its size."""

    @abstractmethod
    def inputs(self, batch: Sequence[P]) -> Inputs:
        """Return the network's arguments for a batch of prepared items."""

    @abstractmethod
    def examples(self) -> list[Inputs]:
        """Return batches of several shapes, on which runtimes are compared with the network."""

    def is_truncated(self, prepared: P) -> bool:
        """Return whether the end of the item was cut off when it was prepared."""
        return False


class LoadModel(Protocol):
    """Loads the model of a spec of the family."""

    def __call__(self, spec: Any, *, cuda: bool) -> Model[Any]:
        """Return the model; `cuda` is true when it will run on a CUDA device.

        It, or its network when that is made, raises UserError when the files of the spec are missing, changed, or do
        not fit its fields.
        """
        ...


@dataclass(frozen=True)
class Family:
    """A family of encoders: the specs that belong to it, and how their models are loaded."""

    spec: type[EncoderSpec]
    load_model: LoadModel
    weight_sources: Mapping[str, WeightSource]
    """The weight sources by the prefix of `weights.source`, without the colon."""
    architectures: frozenset[str] = frozenset()
    """The architectures that its specs may name; if empty, all of its modality that no other family names.
    Families of two modalities may name the same one."""

    @property
    def modality(self) -> str:
        """The modality of its specs, which is the one value that the field allows."""
        (modality,) = get_args(self.spec.model_fields["modality"].annotation)
        return str(modality)
