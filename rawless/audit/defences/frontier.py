"""The frontier of defences: what each leaves to an attacker, and what it leaves of a head's accuracy.

Every defence is applied to the same vectors, as they would be stored, and the attacker learns from defended vectors
too: a defence that only holds against an attack that does not know it would look better than it is.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import ValidationError

from encoders.defence import Defence
from encoders.defended_network import DefenceSteps
from encoders.differential_privacy import epsilon
from encoders.learned_projection import most_dimensions
from encoders.release import add_noise, quantise
from encoders.spec import EncoderSpec, Vector
from rawless.audit.defences.labelled_file import LabelledItems
from rawless.audit.defences.learn_projection import learn_projection
from rawless.audit.leakage.attack import Attack, Finding, Records, interval, resamples, within_boundary
from rawless.audit.leakage.attributes import LABELLED, AttributeAttack
from rawless.audit.leakage.logistic import Truth, fit
from rawless.audit.leakage.words import WordsAttack
from rawless.errors import UserError
from rawless.privacy import Raw

FEWEST_ROWS = 100
_PARTS = (0.4, 0.4, 0.2)
"""What the attacker learns from, what the head and a learned projection do, and what both are judged on."""
_RESAMPLES = 200
_STEPS = {"truncate": int, "project": int, "learned": int, "noise": float, "quantise": int}


@dataclass(frozen=True)
class Leakage:
    """One metric of an attack, with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """One defence: what it leaves to an attacker, and of a head."""

    defence: str
    dimension: int
    leakage: Mapping[str, Leakage]
    """By metric."""
    accuracy_stored: float
    """Of a head on vectors as they are stored, on which it was trained too."""
    accuracy_served: float
    """Of the same head on vectors as a service computes them: without noise."""
    epsilon: float | None
    """Of one record, at a δ of 1e-6; None without noise."""
    is_efficient: bool
    """Whether no other defence leaks less and has a head that is at least as accurate when it is served."""
    steps: Mapping[str, Any] | None
    """The steps as a spec names them; None where there are none."""


@dataclass(frozen=True)
class Frontier:
    """All defences that were measured, and the leakage that needs no vector."""

    points: Sequence[Point]
    prior: Mapping[str, float]
    """By metric, the first of which is drawn."""
    auxiliary_rows: int
    training_rows: int
    attacked_rows: int


def default_defences(dimension: int) -> list[str]:
    """Return the defences that are measured unless others are named."""
    sizes = [f"{step}:{dimension // part}" for step, part in (("truncate", 2), ("truncate", 8), ("project", 4))]
    noise = [f"noise:{sigma}" for sigma in (0.02, 0.05, 0.1, 0.2)]
    rounding = ["quantise:8", "quantise:1"]
    return ["none", *sizes, *rounding, *noise, "learned", *(f"learned+{each}" for each in noise[1:])]


def check_defences(names: Sequence[str]) -> None:
    """Raise UserError for a name that is no defence."""
    for name in names:
        _Wanted.parse(name)


def measure_frontier(
    items: LabelledItems,
    spec: EncoderSpec,
    label: str,
    attribute: str | None,
    defences: Sequence[str],
    seed: int,
    report: Callable[[str], None] = lambda _: None,
) -> Frontier:
    """Return the frontier of an encoder for items with a label and, for attackers, an attribute.

    `report` is called with the name of each defence. Raises UserError for too few items, or a defence that is not one.
    """
    order = np.random.default_rng(seed).permutation(len(items.vectors))
    if len(order) < FEWEST_ROWS:
        raise UserError(f"--aux has {len(order):,} items that can be used, but at least {FEWEST_ROWS} are needed.")
    ends = np.cumsum([int(len(order) * part) for part in _PARTS[:2]])
    auxiliary, training, attacked = np.split(order, ends)
    attacks = within_boundary(lambda: _attacks(items, spec, attribute, auxiliary, attacked))
    if not attacks:
        raise UserError("Images are attacked by an attribute: name its column by --attribute.")
    head = _Head(items.labels[label], training, attacked)
    wanted = [_Wanted.parse(name) for name in defences]
    points, prior = [], {}
    for each in wanted:
        report(each.name)
        defence, served = each.apply(items, training, label, attribute)
        stored = _noisy(served, defence, seed)
        if defence and defence.quantise:
            stored, served = (quantise(vectors, defence.quantise.bits) for vectors in (stored, served))
        sides = stored[auxiliary], stored[attacked]
        findings = within_boundary(partial(_found, attacks, *sides))
        chosen = [finding for finding in findings if finding.metric in _metrics(attribute, len(auxiliary))]
        prior = {finding.metric: finding.prior or 0.0 for finding in chosen}
        model = head.train(stored)
        points.append(
            Point(
                defence=each.name,
                dimension=served.shape[1],
                leakage={finding.metric: _leakage(finding, len(attacked), seed) for finding in chosen},
                accuracy_stored=model(stored),
                accuracy_served=model(served),
                epsilon=epsilon(defence) if defence else None,
                is_efficient=False,
                steps=defence.model_dump(mode="json") if defence else None,
            )
        )
    return Frontier(_marked(points), prior, len(auxiliary), len(training), len(attacked))


class _Wanted(NamedTuple):
    """A defence as it is named on the command line: steps joined by +, each with its number."""

    name: str
    numbers: Mapping[str, float]

    @classmethod
    def parse(cls, name: str) -> "_Wanted":
        numbers: dict[str, float] = {}
        for part in [] if name == "none" else name.split("+"):
            step, _, number = part.partition(":")
            try:
                numbers[step] = _STEPS[step](number) if number or step != "learned" else 0
            except (KeyError, ValueError):
                raise UserError(
                    f"--defences names {part!a}, but a step is truncate:N, project:N, learned, learned:N, "
                    "noise:SHARE or quantise:BITS, and + joins several."
                ) from None
        if "learned" in numbers and numbers.keys() & {"truncate", "project"}:
            raise UserError(f"--defences names {name!a}: a learned projection chooses its directions itself.")
        return cls(name, numbers)

    def apply(
        self, items: LabelledItems, training: Records, label: str, attribute: str | None
    ) -> tuple[Defence | None, Vector]:
        """Return the defence, and the vectors as a service computes them, with its deterministic steps."""
        if not self.numbers:
            return None, items.vectors
        steps: dict[str, Any] = {"full_dimension": items.vectors.shape[1]}
        tensors = None
        if "truncate" in self.numbers:
            steps["truncate"] = self.numbers["truncate"]
        if "project" in self.numbers:
            steps["project"] = {"dimension": self.numbers["project"], "seed": 0}
        if "learned" in self.numbers:
            part = items.take(training)
            size = int(self.numbers["learned"]) or min(most_dimensions([part.labels[label]]), items.vectors.shape[1])
            learned = learn_projection(part, [label], [attribute] if attribute else [], 0, size)
            steps["learned"] = {"file": "learned-projection.safetensors", "dimension": size}
            tensors = {"weight": torch.from_numpy(learned.weight), "bias": torch.from_numpy(learned.bias)}
        if "quantise" in self.numbers:
            steps["quantise"] = {"bits": self.numbers["quantise"]}
        if "noise" in self.numbers:
            # In shares of the length to which vectors are clipped, which is usual for this encoder.
            plain = _Computed(self.name, {**steps, "clip": 1e6}, tensors)(items.vectors)
            steps["clip"] = float(f"{np.sqrt((plain[training] ** 2).sum(axis=1).mean()):.4g}")
            steps["noise"] = {"sigma": float(f"{self.numbers['noise'] * steps['clip']:.4g}")}
        applied = _Computed(self.name, steps, tensors)
        return applied.defence, applied(items.vectors)


class _Computed:
    """The steps of a defence that need the vector alone."""

    def __init__(self, name: str, steps: Mapping[str, Any], tensors: dict[str, torch.Tensor] | None) -> None:
        try:
            self.defence = Defence.model_validate(steps)
        except ValidationError as error:
            rule = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(f"--defences names {name!a}, but the rule is: {rule}.") from None
        self._network = DefenceSteps(self.defence, tensors)

    def __call__(self, vectors: Vector) -> Vector:
        with torch.inference_mode():
            defended: Vector = self._network(torch.from_numpy(vectors)).numpy()
        return defended


def _noisy(vectors: Vector, defence: Defence | None, seed: int) -> Vector:
    """Return vectors, each with noise of its own."""
    if defence is None or defence.noise is None:
        return vectors
    return add_noise(vectors, defence.noise.sigma, hashlib.sha256(f"frontier {seed}".encode()).digest())


def _attacks(
    items: LabelledItems, spec: EncoderSpec, attribute: str | None, auxiliary: Records, attacked: Records
) -> list[Attack]:
    """Return the attacks that can be made. It reads contents: run it in `guarded`."""
    attacks: list[Attack] = []
    if spec.modality == "text":
        attacks.append(WordsAttack(*(_texts([items.contents[row] for row in rows]) for rows in (auxiliary, attacked))))
    if attribute:
        labels = items.labels[attribute]
        sizes = np.array([[len(item.reveal())] for item in items.contents], np.float32)
        attacks.append(
            AttributeAttack(
                attribute,
                [labels[row] for row in auxiliary],
                [labels[row] for row in attacked],
                sizes[auxiliary],
                sizes[attacked],
            )
        )
    return attacks


def _found(attacks: Sequence[Attack], auxiliary: Vector, attacked: Vector) -> list[Finding]:
    return [finding for attack in attacks for finding in attack(auxiliary, attacked)]


def _texts(contents: Sequence[Raw[bytes]]) -> list[str]:
    return [content.reveal().decode() for content in contents]


def _metrics(attribute: str | None, rows: int) -> set[str]:
    largest = max((count for count in LABELLED if count <= rows), default=LABELLED[0])
    return {"words_f1", *([f"attribute_{attribute}_{largest}_auc"] if attribute else [])}


def _leakage(finding: Finding, rows: int, seed: int) -> Leakage:
    samples = resamples(rows, _RESAMPLES, np.random.default_rng(seed))
    return Leakage(finding.statistic(np.arange(rows)), *interval(finding, samples))


class _Head:
    """A logistic head on a label."""

    def __init__(self, labels: Sequence[str], training: Records, judged: Records) -> None:
        classes, self._numbers = np.unique(np.asarray(labels), return_inverse=True)
        self._truth: Truth = self._numbers[:, None] == np.arange(len(classes))
        self._training, self._judged = training, judged

    def train(self, vectors: Vector) -> Callable[[Vector], float]:
        """Return the accuracy of a head that is trained on stored vectors, as a function of those to judge it on."""
        model = fit(vectors[self._training], self._truth[self._training])

        def accuracy(given: Vector) -> float:
            predicted = model.logits(given[self._judged]).argmax(axis=1)
            return float((predicted == self._numbers[self._judged]).mean())

        return accuracy


def _marked(points: Sequence[Point]) -> list[Point]:
    """Return the points, those marked that no other is better than."""
    metric = next(iter(points[0].leakage))
    measured = [(point.leakage[metric].value, point.accuracy_served) for point in points]
    return [
        replace(point, is_efficient=not any(_is_better(other, own) for other in measured))
        for point, own in zip(points, measured, strict=True)
    ]


def _is_better(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] >= other[1]
