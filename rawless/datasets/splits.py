"""Splits: the lines of the ledger after the rules, and who goes into train, validation and test."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rawless.datasets.compile import Build, Statement
from rawless.datasets.spec import ByPerson, ByTime
from rawless.warehouse.parameters import parameters

BANDS, BITS = 10, 12
"""Of the buckets of near duplicates: so many chances to meet, and planes that must all agree in one."""

NEAR_DUPLICATES = "near_duplicates"


@dataclass(frozen=True)
class Step:
    """A line of the ledger: what removes rows, and the statement that marks them, if it has one of its own."""

    name: str
    parameters: dict[str, Any]
    statement: Statement | None = None


def steps(build: Build) -> list[Step]:
    """Every line of the ledger in order; `removed_by` of an example is a position in this list."""
    label, rules = build.dataset.spec.label, build.dataset.parameters()[1:]
    maturity = {"seconds": int(label.maturity.total_seconds())} if label.maturity else {}
    found = [Step("labelled", {"query": label.query}), Step("unambiguous", {}), Step("mature", maturity)]
    for query, values in rules:
        told = {name: value for name, value in values.items() if value is not None}
        found.append(Step(query.name, told, build.rule(query, values, step=len(found))))
    for name, told, given in _of_split(build):
        known = None if given is None else _marking(build, name, {"step": len(found), **given})
        found.append(Step(name, told, known))
    return found


def _marking(build: Build, name: str, values: dict[str, Any]) -> Statement:
    return Statement(name, build.template(name), parameters(values))


def near_duplicates(build: Build, cosine: float, step: int, snapshot_id: str, dimension: int) -> Statement:
    """Marks rows of the snapshot, whose vectors are there by then."""
    values = {"cosine": cosine, "step": step, "snapshot_id": snapshot_id, "dimension": dimension}
    return _marking(build, NEAR_DUPLICATES, {**values, "bands": BANDS, "bits": BITS})


def _of_split(build: Build) -> Iterator[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    """Template, what the ledger tells, and its parameters, if they are known before the vectors are."""
    split = build.dataset.spec.split
    if isinstance(split, ByPerson) and split.without_subject == "drop":
        yield "without_subject", {}, {}
    if isinstance(split, ByTime) and split.gap:
        seconds = int(split.gap.total_seconds())
        times = {"validation_from": split.validation_from, "test_from": split.test_from}
        yield "gap", {"seconds": seconds}, {**times, "gap_seconds": seconds}
    if build.dataset.spec.label.kind == "pair":
        yield "torn", {}, {}
    if split.near_duplicates:
        yield NEAR_DUPLICATES, {"cosine": split.near_duplicates.cosine}, None


def assign(build: Build) -> Statement:
    """Gives every example that is left its split."""
    split = build.dataset.spec.split
    if isinstance(split, ByTime):
        times = {"validation_from": split.validation_from, "test_from": split.test_from}
        return Statement("split_by_time", build.template("split_by_time"), parameters(times))
    shares = {"salt": split.salt, "train": split.train, "train_and_validation": split.train + split.validation}
    return Statement("split_by_person", build.template("split_by_person"), parameters(shares))


def recall(cosine: float) -> float:
    """The expected share of pairs of that cosine that the buckets find: Charikar, 'Similarity Estimation' (2002)."""
    together = 1 - math.acos(cosine) / math.pi
    return float(1 - (1 - together**BITS) ** BANDS)
