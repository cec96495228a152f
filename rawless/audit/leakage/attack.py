"""`Attack`: what every attack on vectors returns, and the controls and intervals of its measures.

An attack that is broken would look like safety, so each one also runs on random vectors, and on vectors that belong to
other records: on both it may find no more than a guess does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from encoders.spec import Vector
from rawless.errors import RawlessError
from rawless.privacy import Reason, guarded

RESAMPLES = 1_000
"""Bootstrap samples of an interval (Efron, 1979)."""
T = TypeVar("T")
Records = npt.NDArray[np.intp]
"""Positions of attacked records, of shape (n,)."""


@dataclass(frozen=True)
class Finding:
    """One metric of an attack. Every metric lies between 0 and 1, and a higher value is more leakage."""

    metric: str
    """A code that is unique over all attacks, such as `words_f1`; the limits of a stream name it."""
    statistic: Callable[[Records], float]
    """Returns the metric over a sample of the attacked records, which may contain a record more than once."""
    prior: float | None = None
    """The metric of the best guess without vectors."""


class Attack(Protocol):
    """An attack that knows the contents of both sides and is given the vectors.

    `name` is its code. It learns from `auxiliary`, of shape (m, d), and is judged on `attacked`, of shape (n, d), whose
    contents it uses only to judge.
    """

    name: str

    def __call__(self, auxiliary: Vector, attacked: Vector) -> Sequence[Finding]:
        """Return the findings. The same vectors give the same findings."""


@dataclass(frozen=True)
class Measure:
    """One metric of one attack on one encoder, with its 95% interval and its controls: a row of `leakage_audit_v1`."""

    attack: str
    metric: str
    value: float
    low: float
    high: float
    control: float
    """The metric for random vectors."""
    prior: float | None
    shuffled: float
    """The metric when the attack learns from the vectors of other records."""
    auxiliary_rows: int
    attacked_rows: int


def measure(attack: Attack, auxiliary: Vector, attacked: Vector, seed: int = 0) -> list[Measure]:
    """Return what an attack finds, with intervals over the attacked records, and with both controls."""
    generator = np.random.default_rng(seed)
    found = attack(auxiliary, attacked)
    random = attack(_noise(auxiliary, generator), _noise(attacked, generator))
    shuffled = attack(auxiliary[generator.permutation(len(auxiliary))], attacked)
    every = np.arange(len(attacked))
    samples = resamples(len(attacked), RESAMPLES, generator)
    measures = []
    for one, other, third in zip(found, random, shuffled, strict=True):
        low, high = interval(one, samples)
        measures.append(
            Measure(
                attack=attack.name,
                metric=one.metric,
                value=one.statistic(every),
                low=low,
                high=high,
                control=other.statistic(every),
                prior=one.prior,
                shuffled=third.statistic(every),
                auxiliary_rows=len(auxiliary),
                attacked_rows=len(attacked),
            )
        )
    return measures


def resamples(rows: int, count: int, generator: np.random.Generator) -> list[Records]:
    """Return bootstrap samples of attacked records."""
    return [generator.integers(0, rows, rows) for _ in range(count)]


def interval(finding: Finding, samples: Sequence[Records]) -> tuple[float, float]:
    """Return the 95% interval of a metric over bootstrap samples of the attacked records."""
    low, high = np.quantile([finding.statistic(sample) for sample in samples], [0.025, 0.975])
    return float(low), float(high)


def within_boundary(step: Callable[[], T]) -> T:
    """Return what a step that sees contents returns. Raises RawlessError without anything of its exception."""
    found = guarded(step)
    if isinstance(found, Reason):
        raise RawlessError(f"An attack failed ({found.value}), and nothing was recorded: please report it.")
    return found


def _noise(like: Vector, generator: np.random.Generator) -> Vector:
    """Return random unit vectors of the same shape."""
    vectors = generator.standard_normal(like.shape)
    units: Vector = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units
