"""Plan a build: its statements, and what they would read and cost."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from rawless.datasets import cost, expectations, frozen_sources, marks, sources, splits
from rawless.datasets.build import check_as_of
from rawless.datasets.compile import CompiledDataset, Span, Statement
from rawless.datasets.near_duplicates import expected_recall
from rawless.datasets.spec import DatasetSpec
from rawless.errors import UserError
from rawless.quantities import format_bytes
from rawless.warehouse.parameters import Parameters, parameters


class AdaptedEvents(NamedTuple):
    """The events of a stream that a dataset may take, before label and rules, and those with adapted vectors only."""

    events: int
    adapted: int


@dataclass(frozen=True)
class Plan:
    """What a build would run and read."""

    snapshot_id: str
    statements: tuple[Statement, ...]
    """The statements in the order of the build; only snapshot reads vectors."""
    bytes: int
    """The most that the build reads."""
    is_estimated: bool
    """Whether `bytes` is estimated from the widths of columns, since the local BigQuery has no dry run."""
    recall: float | None
    """The expected share of near duplicates that are found, if the dataset drops them."""
    texts: Mapping[str, tuple[str, ...]]
    """The texts that are stored with the snapshot, by what contains them."""
    expectations: tuple[str, ...]
    """What the data must be like for the build to commit."""
    label_bits: float
    """How many bits about an event its label and its presence in the snapshot can carry."""
    feature_bits: float
    """How many more bits its features can carry."""
    adapted: AdaptedEvents | None = None
    """For a dataset that takes adapted rows: how many of the stream's events have no other."""

    @property
    def dollars(self) -> float:
        """Return the cost of `bytes` on demand, in US dollars."""
        return cost.dollars(self.bytes)


def plan(compiled: CompiledDataset, settle: timedelta) -> Plan:
    """Return the plan of a dataset's build. Raises UserError as `build` does before its first statement."""
    check_as_of(compiled.spec, settle)
    frozen_sources.check_columns(compiled)
    eligible, expected = compiled.eligible(), expectations.statements(compiled)
    marking = marks.statements(compiled, splits.steps(compiled))
    near_duplicates = compiled.spec.split.near_duplicates
    is_local = compiled.warehouse.emulator is not None
    size, rows = _estimate(compiled, eligible) if is_local else _dry_run(compiled, eligible)
    problems = [compiled.feature_problems()] if compiled.spec.features else []
    return Plan(
        compiled.snapshot_id,
        (
            *([eligible] if compiled.stores_events else []),
            compiled.labelled(),
            *marking,
            *expected,
            compiled.snapshot(_widest_span(compiled), ""),
            *problems,
        ),
        round(size),
        is_estimated=is_local,
        recall=expected_recall(near_duplicates.cosine, compiled.train_rows(rows)) if near_duplicates else None,
        texts=compiled.texts,
        expectations=tuple(expectations.describe(compiled.spec)),
        label_bits=compiled.spec.label.bits,
        feature_bits=compiled.spec.feature_bits,
        adapted=_count_adapted(compiled, eligible),
    )


def _count_adapted(compiled: CompiledDataset, eligible: Statement) -> AdaptedEvents | None:
    """Return how many events have adapted vectors only, which a query counts without reading vectors."""
    if not compiled.adapter:
        return None
    (row,) = compiled.warehouse.query(compiled.render("adapted_events"), eligible.parameters)
    return AdaptedEvents(**row)


def _widest_span(compiled: CompiledDataset) -> Span:
    """Return the longest time in which the remaining examples may have occurred; which remain is not known yet."""
    return Span(1, compiled.earliest, compiled.spec.as_of, is_tied=False)


def check_budget(spec: DatasetSpec, plan: Plan) -> None:
    """Raise UserError when the build could read more than its budget."""
    if spec.budget and plan.bytes > spec.budget.max_bytes_billed:
        raise UserError(
            f"The build may read {format_bytes(plan.bytes)}, but budget.max_bytes_billed is "
            f"{format_bytes(spec.budget.max_bytes_billed)}: raise it, or choose fewer events."
        )


def statements(compiled: CompiledDataset) -> Iterator[Statement]:
    """Yield all statements of a build that read rows of events or of sources, in order."""
    span, steps = _widest_span(compiled), splits.steps(compiled)
    as_of = parameters({"as_of": compiled.spec.as_of})
    for source in compiled.sources.values():
        yield Statement(f"count {source.source.name}", sources.count_statement(compiled.warehouse, source), as_of)
    if compiled.stores_events:
        yield compiled.eligible()
    yield compiled.labelled()
    yield from marks.statements(compiled, steps)
    yield Statement("ledger", compiled.render("ledger"))
    yield Statement("fingerprint", compiled.render("fingerprint"))
    yield compiled.snapshot(span, "")
    if compiled.spec.split.near_duplicates:
        yield compiled.found(span)
    for name in ("counts", "attributes_that_determine_label", "digest"):
        yield Statement(name, compiled.render(name, hash_again=False))


def bytes_read(compiled: CompiledDataset, volume: cost.Volume, *, created_only: bool = False) -> dict[str, float]:
    """Return the bytes that each statement of a build reads, by its name, counted from columns and partitions."""
    business = {name: tuple(source.types) for name, source in compiled.sources.items()}
    read: dict[str, float] = defaultdict(float)
    for each in statements(compiled):  # two rules in different statements may have one name
        read[each.name] += cost.count(each.sql, volume, business, created_only=created_only)
    return read


def _dry_run(compiled: CompiledDataset, eligible: Statement) -> tuple[float, int]:
    """Return the most bytes and events of a build, by BigQuery's dry runs; of tables that it will create, by widths.

    A dry run does not know what clustering will leave out, so it reckons with all streams and encoders.
    """
    warehouse, as_of = compiled.warehouse, parameters({"as_of": compiled.spec.as_of})
    values = _event_parameters(eligible)
    vectors = warehouse.dry_run(compiled.render("vectors"), values)
    times = [each for each in values if each.name in ("start_at", "end_at")]
    rows = warehouse.dry_run(compiled.render("times"), times) // 8
    facts = sum(
        warehouse.dry_run(compiled.render("source", of=table, at_event=False), as_of)
        for table in compiled.sources.values()
    )
    facts += sum(warehouse.dry_run(each.sql, each.parameters) for each in expectations.of_sources(compiled))
    working = sum(bytes_read(compiled, cost.Volume(rows, dimension=0), created_only=True).values())
    return warehouse.dry_run(eligible.sql, eligible.parameters) + vectors + 2 * facts + working, rows


def _estimate(compiled: CompiledDataset, eligible: Statement) -> tuple[float, int]:
    """Return the estimated bytes and the most events of a build, by the number of deliveries and their dimension."""
    (found,) = compiled.warehouse.query(compiled.render("volume"), _event_parameters(eligible))
    volume = cost.Volume(found["deliveries"], found["dimension"])
    return sum(bytes_read(compiled, volume).values()), volume.deliveries


def _event_parameters(eligible: Statement) -> Parameters:
    """Return the parameters that select the events, whenever they became known."""
    return [parameter for parameter in eligible.parameters if parameter.name != "as_of"]
