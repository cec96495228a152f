"""`CompositeModel`: the models of several parts as one, whose vectors are concatenated.

Parts that prepare items alike share the preparation: an image is decoded once, a text is tokenized once. Parts that
differ only in what they read of one network, such as its layer, share its run.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from encoders.batcher import Budget
from encoders.composite import CompositeSpec, Part
from encoders.families.composite_parts import CompositePartsSpec, EventPart
from encoders.family import Inputs, Model
from encoders.image_spec import ImageSpec
from encoders.networks import ImageNetwork, Readings, TokenNetwork
from encoders.spec import EncoderSpec
from encoders.text_spec import TextSpec
from rawless.content import ImageLimits
from rawless.content_parts import unpack
from rawless.privacy import Reason, Rejected

_OF_READING = {"layer", "pooling", "dense", "full_dimension", "dimension", "l2_normalise"}
_OF_NO_VECTOR = {"name", "version", "tolerance", "training_domain", "parent", "probe"}
"""Fields in which parts may differ that share a network's run; any other field, also a future one, divides them."""


class _Loaded(NamedTuple):
    position: int
    """Of the part in the composite."""
    reads: str | None
    """The part of the event that it reads; None if events have one content."""
    spec: EncoderSpec
    model: Model[Any]


@dataclass(frozen=True)
class _Preparation:
    """Parts that prepare an item alike; the first of them does."""

    parts: tuple[_Loaded, ...]

    @property
    def model(self) -> Model[Any]:
        return self.parts[0].model

    @property
    def reads(self) -> str | None:
        return self.parts[0].reads

    def stand_in(self) -> Any:
        """Return an item in the place of one that is missing, whose vector is replaced by zeros."""
        spec = self.parts[0].spec
        return self.model.prepare(spec.content_of(spec.built_in_probe()), ImageLimits())


class CompositeModel(Model[tuple[Any, ...]]):
    """The models of several parts. An item is prepared for each preparation, in their order."""

    def __init__(self, spec: CompositeSpec, models: Sequence[Model[Any]]) -> None:
        """`models` are those of the parts, in their order."""
        loaded = [
            _Loaded(number, part.reads if isinstance(part, EventPart) else None, part.encoder, model)
            for number, (part, model) in enumerate(zip(spec.parts, models, strict=True))
        ]
        self._preparations = [_Preparation(alike) for alike in _grouped(loaded, _prepare_alike)]
        self._models = [each.model for each in self._preparations]
        self.budget = _joint_budget([model.budget for model in models], len(self._models))
        self.load_network = lambda: _network(spec, self._preparations)

    def prepare(self, content: bytes, limits: ImageLimits) -> tuple[Any, ...]:
        """See `Model.prepare`."""
        return tuple(model.prepare(content, limits) for model in self._models)

    def prepare_query(self, content: bytes, limits: ImageLimits) -> tuple[Any, ...]:
        """See `Model.prepare_query`."""
        return tuple(model.prepare_query(content, limits) for model in self._models)

    def isolate(self) -> None:
        """See `Model.isolate`."""
        for model in self._models:
            model.isolate()

    def cost(self, prepared: tuple[Any, ...]) -> int:
        """See `Model.cost`: the largest of the parts, each as a share of what a batch of its own may cost."""
        return max(
            math.ceil(model.cost(one) * self.budget.cost / model.budget.cost)
            for model, one in zip(self._models, prepared, strict=True)
            if one is not None
        )

    def inputs(self, batch: Sequence[tuple[Any, ...]]) -> Inputs:
        """See `Model.inputs`: the arguments for each preparation, one after another."""
        items = zip(self._models, zip(*batch, strict=True), strict=True)
        return tuple(tensor for model, prepared in items for tensor in model.inputs(prepared))

    def examples(self) -> list[Inputs]:
        """See `Model.examples`: batches of each preparation, repeated to the sizes of the one with the most batches."""
        every = [model.examples() for model in self._models]
        longest = max(every, key=len)
        return [
            tuple(tensor for examples in every for tensor in _resized(examples[number % len(examples)], len(like[0])))
            for number, like in enumerate(longest)
        ]

    def is_truncated(self, prepared: tuple[Any, ...]) -> bool:
        """See `Model.is_truncated`: whether one of the parts cut the item off."""
        pairs = zip(self._models, prepared, strict=True)
        return any(model.is_truncated(one) for model, one in pairs if one is not None)


class EventPartsModel(CompositeModel):
    """The models of several parts that each read a part of an event. What is missing is prepared as None."""

    def __init__(self, spec: CompositePartsSpec, models: Sequence[Model[Any]]) -> None:
        """See `CompositeModel`."""
        super().__init__(spec, models)
        self._may_be_missing = spec.missing == "zeros"
        self._stand_ins = [each.stand_in() for each in self._preparations] if self._may_be_missing else []

    def prepare(self, content: bytes, limits: ImageLimits) -> tuple[Any, ...]:
        """See `Model.prepare`."""
        return self._prepare(content, lambda model, part: model.prepare(part, limits))

    def prepare_query(self, content: bytes, limits: ImageLimits) -> tuple[Any, ...]:
        """See `Model.prepare_query`."""
        return self._prepare(content, lambda model, part: model.prepare_query(part, limits))

    def _prepare(self, content: bytes, prepare: Callable[[Model[Any], bytes], Any]) -> tuple[Any, ...]:
        try:
            parts = unpack(content)
        except ValueError:
            raise Rejected(Reason.MALFORMED_EVENT) from None
        found = [parts.get(each.reads or "") for each in self._preparations]
        if all(part is None for part in found) or (None in found and not self._may_be_missing):
            raise Rejected(Reason.MISSING_PART)
        pairs = zip(self._models, found, strict=True)
        return tuple(None if part is None else prepare(model, part) for model, part in pairs)

    def inputs(self, batch: Sequence[tuple[Any, ...]]) -> Inputs:
        """See `Model.inputs`: the arguments for each preparation, and whether each item has it, 0 or 1."""
        if not self._may_be_missing:
            return super().inputs(batch)
        filled = [
            tuple(other if one is None else one for one, other in zip(item, self._stand_ins, strict=True))
            for item in batch
        ]
        return *super().inputs(filled), torch.tensor([[float(one is not None) for one in item] for item in batch])

    def examples(self) -> list[Inputs]:
        """See `CompositeModel.examples`: the first item of each batch lacks all parts but the first."""
        if not self._may_be_missing:
            return super().examples()
        return [(*inputs, _presence(len(inputs[0]), len(self._models))) for inputs in super().examples()]


def _presence(size: int, parts: int) -> torch.Tensor:
    presence = torch.ones(size, parts)
    presence[0, 1:] = 0
    return presence


class _Run(NamedTuple):
    """One module of the network, with its arguments and the positions of the parts whose vectors it returns."""

    module: nn.Module
    arguments: slice
    positions: tuple[int, ...]
    preparation: int
    """The number of the items that it takes."""


class CompositeNetwork(nn.Module):
    """The arguments of several networks, one after another, to their vectors side by side."""

    def __init__(self, runs: Sequence[_Run], parts: Sequence[Part], *, l2_normalise: bool, has_presence: bool) -> None:
        """`has_presence` says that a last argument, of shape (batch, preparations), is 0 where an item is missing."""
        super().__init__()
        self._modules_run = nn.ModuleList(run.module for run in runs)
        self._runs = [(run.arguments, run.positions, run.preparation) for run in runs]
        self._scales = [(part.weight, part.l2_normalise) for part in parts]
        self._l2_normalise = l2_normalise
        self._has_presence = has_presence

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the parts' vectors, of shape (batch, sum of their dimensions), normalised and weighted."""
        by_position: dict[int, torch.Tensor] = {}
        for module, (arguments, positions, preparation) in zip(self._modules_run, self._runs, strict=True):
            found = module(*inputs[arguments])
            for position, vectors in zip(positions, found if isinstance(found, list) else [found], strict=True):
                scaled = _scaled(vectors, *self._scales[position])
                present = inputs[-1][:, preparation : preparation + 1] if self._has_presence else 1.0
                by_position[position] = scaled * present
        joined = torch.cat([by_position[position] for position in range(len(self._scales))], dim=1)
        return nn.functional.normalize(joined, dim=1) if self._l2_normalise else joined


def load_composite(spec: CompositeSpec, *, cuda: bool) -> CompositeModel:
    """Return the model of a composite. Raises UserError as the families of its parts do."""
    from encoders.load import load_model

    models = [load_model(part.encoder, cuda=cuda) for part in spec.parts]
    return EventPartsModel(spec, models) if isinstance(spec, CompositePartsSpec) else CompositeModel(spec, models)


def _scaled(vectors: torch.Tensor, weight: float, l2_normalise: bool) -> torch.Tensor:
    vectors = vectors.float()
    return (nn.functional.normalize(vectors, dim=1) if l2_normalise else vectors) * weight


def _network(spec: CompositeSpec, preparations: Sequence[_Preparation]) -> nn.Module:
    runs: list[_Run] = []
    start = 0
    for number, each in enumerate(preparations):
        count = len(each.model.examples()[0])
        for together in _grouped(each.parts, _differ_in_reading_only):
            positions = tuple(part.position for part in together)
            runs.append(_Run(_joint(together), slice(start, start + count), positions, number))
        start += count
    has_presence = isinstance(spec, CompositePartsSpec) and spec.missing == "zeros"
    network = CompositeNetwork(runs, spec.parts, l2_normalise=spec.l2_normalise, has_presence=has_presence)
    return network.eval()


def _joint(together: Sequence[_Loaded]) -> nn.Module:
    """Return the network of parts that share its run, as one that returns a list, or that of a single part."""
    networks: list[Any] = [part.model.network for part in together]
    if len(networks) == 1:
        return networks[0]  # type: ignore[no-any-return]
    runs = next((number for number, part in enumerate(together) if _layer(part.spec) != -1), 0)
    if isinstance(networks[0], nn.Sequential):  # pixels are normalised before
        return nn.Sequential(networks[0][:-1], Readings([network[-1] for network in networks], runs))
    return Readings(networks, runs)


def _layer(spec: EncoderSpec) -> object:
    return getattr(spec, "layer", None)


def _grouped(parts: Sequence[_Loaded], alike: Any) -> Iterator[tuple[_Loaded, ...]]:
    """Yield the parts in groups: each joins the first group whose first part it is like."""
    groups: list[list[_Loaded]] = []
    for part in parts:
        group = next((group for group in groups if alike(group[0], part)), None)
        groups.append([part]) if group is None else group.append(part)
    return (tuple(group) for group in groups)


def _prepare_alike(one: _Loaded, other: _Loaded) -> bool:
    if type(one.model) is not type(other.model) or one.reads != other.reads:
        return False
    if isinstance(one.spec, ImageSpec) and isinstance(other.spec, ImageSpec):
        return one.spec.preprocessing == other.spec.preprocessing
    if isinstance(one.spec, TextSpec) and isinstance(other.spec, TextSpec):
        # The library chooses a tokenizer's class by the model's configuration too.
        same_files = one.spec.weights.files == other.spec.weights.files and type(one.spec) is type(other.spec)
        return same_files and one.spec.preprocessing == other.spec.preprocessing
    return False


def _differ_in_reading_only(one: _Loaded, other: _Loaded) -> bool:
    rest = [each.spec.model_dump(exclude=_OF_READING | _OF_NO_VECTOR) for each in (one, other)]
    return rest[0] == rest[1] and _has_readings(one.model.network) and _has_readings(other.model.network)


def _has_readings(network: Any) -> bool:
    """Return whether a network runs a whole model, of whose output it reads a part."""
    last = network[-1] if isinstance(network, nn.Sequential) else network
    return isinstance(last, TokenNetwork) or (isinstance(last, ImageNetwork) and last.runs_whole_model)


def _joint_budget(budgets: Sequence[Budget], preparations: int) -> Budget:
    """Return the limits within which the batch of each part is within its own."""
    cost = max(budget.cost for budget in budgets)
    return Budget(
        cost,
        run_cost=max(math.ceil(budget.run_cost * cost / budget.cost) for budget in budgets),
        capacity=max(1, min(budget.capacity for budget in budgets) // preparations),
        wait_seconds=max(budget.wait_seconds for budget in budgets),
        runs=min(budget.runs for budget in budgets),
    )


def _resized(inputs: Inputs, size: int) -> Inputs:
    """Return the arguments of a batch for `size` items, which are repeated."""
    rows = [row % len(inputs[0]) for row in range(size)]
    return tuple(tensor[rows] for tensor in inputs)
