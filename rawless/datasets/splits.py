"""Splits: the lines of the ledger after the rules, and the assignment of examples to train, validation and test."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rawless.datasets.compile import LABEL_LINES, CompiledDataset, Statement
from rawless.datasets.spec import ByPerson, ByTime
from rawless.warehouse.parameters import parameters

BANDS, BITS = 10, 12
"""Parameters of locality-sensitive hashing: number of bands, and hyperplanes per band."""

NEAR_DUPLICATES = "near_duplicates"


@dataclass(frozen=True)
class Step:
    """A line of the ledger, with the statement that marks the rows it removes, if it has one of its own."""

    name: str
    parameters: dict[str, Any]
    statement: Statement | None = None


def steps(compiled: CompiledDataset) -> list[Step]:
    """Return the lines of the ledger in order; `removed_by` of an example is a position in this list."""
    label = compiled.spec.label
    durations = {"mature": label.maturity, "event_in_window": label.window}
    given: dict[str, dict[str, Any]] = {"labelled": {"query": label.query}}
    given |= {name: {"seconds": int(each.total_seconds())} for name, each in durations.items() if each}
    lines = [Step(name, given.get(name, {})) for name in LABEL_LINES[label.kind].values()]
    for rule in compiled.rules:
        arguments = {name: value for name, value in rule.values.items() if value is not None}
        lines.append(Step(rule.query.name, arguments, compiled.rule(rule, step=len(lines))))
    for name, ledger_parameters, values in _split_steps(compiled):
        statement = None if values is None else _statement(compiled, name, {"step": len(lines), **values})
        lines.append(Step(name, ledger_parameters, statement))
    return lines


def _statement(compiled: CompiledDataset, name: str, values: dict[str, Any]) -> Statement:
    return Statement(name, compiled.render(name), parameters(values))


def near_duplicates(compiled: CompiledDataset, cosine: float, step: int, dimension: int) -> Statement:
    """Return the statement that marks near duplicates among the snapshot's rows, which must exist with vectors."""
    values = {"cosine": cosine, "step": step, "snapshot_id": compiled.snapshot_id, "dimension": dimension}
    return _statement(compiled, NEAR_DUPLICATES, {**values, "bands": BANDS, "bits": BITS})


def _split_steps(compiled: CompiledDataset) -> Iterator[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    """Yield template, parameters for the ledger, and the statement's values unless they depend on vectors."""
    split = compiled.spec.split
    if isinstance(split, ByPerson) and split.without_subject == "drop":
        yield "without_subject", {}, {}
    if isinstance(split, ByTime) and split.gap:
        seconds = int(split.gap.total_seconds())
        times = {"validation_from": split.validation_from, "test_from": split.test_from}
        yield "gap", {"seconds": seconds}, {**times, "gap_seconds": seconds}
    if compiled.spec.label.kind == "pair":
        yield "split_pairs", {}, {}
    if split.near_duplicates:
        yield NEAR_DUPLICATES, {"cosine": split.near_duplicates.cosine}, None


def assign(compiled: CompiledDataset) -> Statement:
    """Return the statement that assigns a split to every remaining example."""
    split = compiled.spec.split
    if isinstance(split, ByTime):
        times = {"validation_from": split.validation_from, "test_from": split.test_from}
        return Statement("split_by_time", compiled.render("split_by_time"), parameters(times))
    shares = {"salt": split.salt, "train": split.train, "train_and_validation": split.train + split.validation}
    return Statement("split_by_person", compiled.render("split_by_person"), parameters(shares))


def recall(cosine: float) -> float:
    """Return the expected share of pairs with that cosine that meet in a bucket.

    The formula is that of random hyperplanes in Charikar, "Similarity Estimation Techniques from Rounding Algorithms"
    (2002).
    """
    same_side = 1 - math.acos(cosine) / math.pi
    return float(1 - (1 - same_side**BITS) ** BANDS)
