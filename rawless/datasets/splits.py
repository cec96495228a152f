"""The lines of the ledger: those of the label, the rules, and the steps that divide examples into splits."""

from collections.abc import Iterator
from typing import Any

from rawless.datasets.compile import LABEL_LINES, CompiledDataset, Statement
from rawless.datasets.marks import Step
from rawless.datasets.spec import ByPerson, ByTime
from rawless.warehouse.parameters import parameters

NEAR_DUPLICATES = "near_duplicates"


def steps(compiled: CompiledDataset) -> list[Step]:
    """Return the lines of the ledger in order; the mark of an example is a position in this list."""
    label = compiled.spec.label
    durations = {"mature": label.maturity, "event_in_window": label.window}
    given: dict[str, dict[str, Any]] = {"labelled": {"query": label.query}}
    given |= {name: {"seconds": int(each.total_seconds())} for name, each in durations.items() if each}
    lines = [Step(name, given.get(name, {})) for name in LABEL_LINES[label.kind].values()]
    for rule in compiled.rules:
        arguments = {name: value for name, value in rule.values.items() if value is not None}
        if rule.at_event:
            arguments["at_event"] = tuple(sorted(rule.at_event))
        # A source that is cut at the event has rows for each event, so a rule that reads it may compare events.
        reads_others = bool(rule.at_event) or not rule.validated.decides_alone
        lines.append(Step(rule.query.name, arguments, compiled.removed_by(rule), reads_others=reads_others))
    return [*lines, *_split_steps(compiled)]


def _split_steps(compiled: CompiledDataset) -> Iterator[Step]:
    split = compiled.spec.split
    if isinstance(split, ByPerson) and split.without_subject == "drop":
        yield _step(compiled, "without_subject", {}, {})
    if isinstance(split, ByTime) and split.gap:
        seconds = int(split.gap.total_seconds())
        times = {"validation_from": split.validation_from, "test_from": split.test_from}
        yield _step(compiled, "gap", {"seconds": seconds}, {**times, "gap_seconds": seconds})
    if compiled.spec.label.kind == "pair":
        yield _step(compiled, "split_pairs", {}, {})
    if split.near_duplicates:
        yield Step(NEAR_DUPLICATES, {"cosine": split.near_duplicates.cosine})


def _step(compiled: CompiledDataset, name: str, ledger: dict[str, Any], values: dict[str, Any]) -> Step:
    return Step(name, ledger, Statement(name, compiled.render(f"removed_{name}"), parameters(values)))
