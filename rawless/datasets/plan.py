"""Plan a build: its statements, and what they would read and cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from rawless.datasets import cost, frozen_sources, splits
from rawless.datasets.build import check_as_of
from rawless.datasets.compile import CompiledDataset, Statement
from rawless.datasets.spec import DatasetSpec
from rawless.errors import UserError
from rawless.warehouse.parameters import Parameters, parameters


@dataclass(frozen=True)
class Plan:
    """What a build would run and read."""

    snapshot_id: str
    statements: tuple[Statement, ...]
    """The statements in the order of the build; only the last one reads vectors."""
    bytes: int
    """The most that the build reads."""
    is_estimated: bool
    """Whether `bytes` is estimated from the widths of columns, since the local BigQuery has no dry run."""
    recall: float | None
    """The expected share of near duplicates that are found, if the dataset drops them."""
    texts: Mapping[str, tuple[str, ...]]
    """The texts that are stored with the snapshot, by what contains them."""
    label_bits: float
    """How many bits about an event its label and its presence in the snapshot can carry."""

    @property
    def dollars(self) -> float:
        """Return the cost of `bytes` on demand, in US dollars."""
        return cost.dollars(self.bytes)


def plan(compiled: CompiledDataset, settle: timedelta) -> Plan:
    """Return the plan of a dataset's build. Raises UserError as `build` does before its first statement."""
    check_as_of(compiled.spec, settle)
    frozen_sources.check_columns(compiled)
    eligible = compiled.eligible()
    marking = [step.statement for step in splits.steps(compiled) if step.statement]
    near_duplicates = compiled.spec.split.near_duplicates
    is_local = compiled.warehouse.emulator is not None
    return Plan(
        compiled.snapshot_id,
        (eligible, compiled.labelled(), *marking, splits.assign(compiled), compiled.snapshot()),
        _estimate(compiled, eligible) if is_local else _dry_run(compiled, eligible),
        is_estimated=is_local,
        recall=splits.recall(near_duplicates.cosine) if near_duplicates else None,
        texts=compiled.texts,
        label_bits=compiled.spec.label.bits,
    )


def check_budget(spec: DatasetSpec, plan: Plan) -> None:
    """Raise UserError when the build could read more than its budget."""
    if spec.budget and plan.bytes > spec.budget.max_bytes_billed:
        raise UserError(
            f"The build may read {cost.format_bytes(plan.bytes)}, but budget.max_bytes_billed is "
            f"{cost.format_bytes(spec.budget.max_bytes_billed)}: raise it, or choose fewer events."
        )


def _dry_run(compiled: CompiledDataset, eligible: Statement) -> int:
    """Return the bytes of the events, all their vectors, and the sources by BigQuery's dry run."""
    warehouse, as_of = compiled.warehouse, parameters({"as_of": compiled.spec.as_of})
    events = warehouse.dry_run(eligible.sql, eligible.parameters)
    vectors = warehouse.dry_run(compiled.render("vectors"), _event_parameters(eligible))
    return (
        events
        + vectors
        + sum(warehouse.dry_run(compiled.render("source", of=table), as_of) for table in compiled.sources.values())
    )


def _estimate(compiled: CompiledDataset, eligible: Statement) -> int:
    """Return the estimated bytes, computed from the number of deliveries and their dimension."""
    (volume,) = compiled.warehouse.query(compiled.render("volume"), _event_parameters(eligible))
    return cost.estimate(volume["deliveries"], volume["dimension"]).bytes


def _event_parameters(eligible: Statement) -> Parameters:
    """Return the parameters that select the events, whenever they became known."""
    return [parameter for parameter in eligible.parameters if parameter.name != "as_of"]
