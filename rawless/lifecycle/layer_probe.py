"""Which layer, pooling and interpolation of one model carry most for a task: the same head over the vectors of each.

It runs where raw content may be read and keeps contents and vectors in memory only; measures are returned.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any

import torch

from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import parse
from encoders.device import pick_device
from encoders.encoder import Device, Encoded
from encoders.family import WrongDimension
from encoders.load import build
from encoders.spec import EncoderSpec, Vector
from rawless.errors import UserError
from rawless.heads.examples import Task
from rawless.heads.fit import predict
from rawless.heads.metrics import Array, Metric, bootstrap, paired_difference
from rawless.heads.training import fitted
from rawless.privacy import Raw

_CHUNK = 256
FIELDS = ("layer", "pooling", "interpolation")


@dataclass(frozen=True)
class Probed:
    """The head over the vectors of one variant, by its main metric."""

    values: Mapping[str, Any]
    """The variant's values of `FIELDS` that its family has."""
    is_own: bool
    """Whether they are those of the spec."""
    dimension: int
    rows: int
    """Rows of all splits whose content the encoder accepts."""
    validation: float
    """On validation, by which variants are to be chosen."""
    test: Metric
    difference: Metric | None
    """How much more than the spec's own values on the same rows of test; None for those."""
    milliseconds: float
    """To encode one content here."""


def variants(spec: EncoderSpec, given: Mapping[str, Sequence[str]]) -> list[EncoderSpec]:
    """Return unsealed specs with each combination of the given values of `FIELDS`; the spec's own values come first.

    Raises UserError for a field that the family does not have, or a value that breaks its rule.
    """
    if spec.defence != "none" or spec.adapter:
        raise UserError(f"{spec.ref} has a defence or an adapter: probe the encoder that it was made of.")
    own = values_of(spec)
    for name, values in given.items():
        if values and name not in own:
            raise UserError(f"--{name}s is given, but encoders of architecture {spec.architecture} have no {name}.")
    names = [name for name in FIELDS if given.get(name)]
    if not names:
        raise UserError("Nothing is to be compared: name values by --layers, --poolings or --interpolations.")
    combinations = [dict(zip(names, each, strict=True)) for each in product(*(given[name] for name in names))]
    made: dict[tuple[Any, ...], EncoderSpec] = {}
    for each in (spec.model_copy(update={"probe": None}), *(_varied(spec, values) for values in combinations)):
        made.setdefault(tuple(values_of(each).values()), each)
    return list(made.values())


def values_of(spec: EncoderSpec) -> dict[str, Any]:
    """Return the values of those of `FIELDS` that the spec's family has."""
    parts = {**dict(spec), **dict(getattr(spec, "preprocessing", {}))}
    return {name: parts[name] for name in FIELDS if name in parts}


def _varied(spec: EncoderSpec, values: Mapping[str, str]) -> EncoderSpec:
    data = spec.model_dump(mode="json", exclude={"probe"})
    for name, value in values.items():
        part = data if name in data else data["preprocessing"]
        try:
            part[name] = int(value) if isinstance(part[name], int) else value
        except ValueError:
            raise UserError(f"--{name}s has {value!r}, but the rule for {spec.ref} is: a whole number.") from None
    return parse(data, f"{spec.ref} with {', '.join(f'{name} {value}' for name, value in values.items())}")


def probe(
    task: Task,
    specs: Sequence[EncoderSpec],
    payloads: Mapping[str, Raw[bytes]],
    device: Device,
    report_progress: Callable[[str], None],
) -> list[Probed]:
    """Return the head of a task over the vectors of each spec, the first of which is the one that others differ from.

    `payloads` are the raw contents by event id. Raises UserError when contents are missing, or a spec has no vectors.
    """
    ids = list(dict.fromkeys(event for part in task.splits.values() for events in part.events for event in events))
    if missing := [event_id for event_id in ids if event_id not in payloads]:
        raise UserError(f"{len(missing):,} of {len(ids):,} events are not in the source: name the one they came from.")
    encoded = []
    for spec in specs:
        report_progress(f"encoding by {', '.join(f'{name} {value}' for name, value in values_of(spec).items())}")
        encoded.append(_encode(spec, {event_id: payloads[event_id] for event_id in ids}, device))
    accepted = set.intersection(*(set(each.vectors) for each in encoded))
    measured: list[Probed] = []
    first: tuple[Array, ...] | None = None
    for spec, each in zip(specs, encoded, strict=True):
        report_progress(f"training over {', '.join(str(value) for value in values_of(spec).values())}")
        own = task.with_vectors({event_id: each.vectors[event_id] for event_id in ids if event_id in accepted})
        probed, outcomes = _measure(own, spec, each, first)
        measured.append(probed)
        first = first or outcomes
    return measured


@dataclass(frozen=True)
class _Encoded:
    vectors: Mapping[str, Vector]
    dimension: int
    milliseconds: float


def _encode(spec: EncoderSpec, payloads: Mapping[str, Raw[bytes]], device: Device) -> _Encoded:
    encoder = _build(spec, pick_device(device))
    vectors: dict[str, Vector] = {}
    started = time.monotonic()
    for chunk in _chunks(payloads):
        for event_id, outcome in zip(chunk, encoder.encode([payloads[each] for each in chunk]), strict=True):
            if isinstance(outcome, Encoded):
                vectors[event_id] = outcome.vector
    seconds = time.monotonic() - started
    return _Encoded(vectors, encoder.spec.dimension, 1000 * seconds / max(len(payloads), 1))


def _chunks(ids: Mapping[str, Any]) -> Iterator[list[str]]:
    remaining = iter(ids)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk


def _build(spec: EncoderSpec, device: torch.device) -> BatchEncoder[Any]:
    """Return the encoder of a spec, whatever dimension its layer has."""
    try:
        return build(spec, device)
    except WrongDimension as wrong:
        return build(spec.model_copy(update={"dimension": wrong.dimension}), device)


def _measure(
    task: Task, spec: EncoderSpec, encoded: _Encoded, first: tuple[Array, ...] | None
) -> tuple[Probed, tuple[Array, ...]]:
    """Return the measures of a task, and the outcomes on test; `first` are those of the first variant."""
    kind, metric, seed = task.kind, task.kind.main_metric(task.manifest), task.spec.seed
    for split in ("train", "test"):
        if not len(task.splits[split]):
            raise UserError(f"No content of the split {split} is accepted by {spec.ref}: check the source.")
    head, _ = fitted(task)
    outcomes = {
        split: kind.outcomes(part.rows, predict(head, kind.head_inputs(part.rows)).numpy())
        for split, part in task.splits.items()
        if len(part)
    }
    persons = task.splits["test"].persons
    (test,) = bootstrap(metric, *outcomes["test"], seed=seed, persons=persons)
    difference = None
    if first is not None:
        (difference,) = paired_difference(metric, first, outcomes["test"], seed, persons)
    (validation,) = metric(*outcomes["validation"]).values() if "validation" in outcomes else (float("nan"),)
    probed = Probed(
        values=values_of(spec),
        is_own=first is None,
        dimension=encoded.dimension,
        rows=sum(map(len, task.splits.values())),
        validation=validation,
        test=test,
        difference=difference,
        milliseconds=encoded.milliseconds,
    )
    return probed, outcomes["test"]


def check_task(task: Task) -> Task:
    """Return a task without features. Raises UserError for heads of pairs, whose rows are no single contents."""
    if task.kind.is_of_pairs:
        raise UserError(f"{task.spec.head} is of kind {task.spec.kind}, but probes are for heads of single events.")
    return replace(task.without_features(), tenants=()) if task.features else task
