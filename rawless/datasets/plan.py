"""What a build would run, read and cost, before anything is read."""

from dataclasses import dataclass
from datetime import timedelta

from rawless.datasets import build, cost, splits
from rawless.datasets.compile import Build, Statement
from rawless.datasets.dataset import Dataset
from rawless.datasets.spec import DatasetSpec
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import Parameters, parameters


@dataclass(frozen=True)
class Plan:
    """Of a build."""

    snapshot_id: str
    statements: tuple[Statement, ...]
    """In order; vectors come last."""
    bytes: int
    """That it reads at most."""
    is_reckoned: bool
    """From the widths of columns, since the local BigQuery bills nothing."""
    recall: float | None
    """The expected share of near duplicates that are found."""

    @property
    def dollars(self) -> float:
        """At the on-demand price."""
        return cost.dollars(self.bytes)


def plan(warehouse: Warehouse, dataset: Dataset, settle: timedelta) -> Plan:
    """Judge a dataset's queries, look up its sources, and reckon what the build reads. Raises UserError."""
    build.check_time(dataset, settle)
    ready = build.prepare(warehouse, dataset, dataset.snapshot_id)
    eligible = ready.eligible()
    marking = [step.statement for step in splits.steps(ready) if step.statement]
    near = dataset.spec.split.near_duplicates
    return Plan(
        dataset.snapshot_id,
        (eligible, ready.labelled(), *marking, splits.assign(ready), ready.snapshot()),
        _reckoned(ready, eligible) if warehouse.emulator else _scanned(ready, eligible),
        is_reckoned=warehouse.emulator is not None,
        recall=splits.recall(near.cosine) if near else None,
    )


def check_budget(spec: DatasetSpec, found: Plan) -> None:
    """Raises UserError when the build could read more than its budget."""
    if spec.budget and found.bytes > spec.budget.max_bytes_billed:
        raise UserError(
            f"The build may read {cost.told(found.bytes)}, but budget.max_bytes_billed is "
            f"{cost.told(spec.budget.max_bytes_billed)}: raise it, or choose fewer events."
        )


def _scanned(ready: Build, eligible: Statement) -> int:
    """What BigQuery's dry run says of the events, of all their vectors, and of the sources."""
    read = ready.warehouse.scanned(eligible.sql, eligible.parameters)
    read += ready.warehouse.scanned(ready.template("vectors"), _of_events(eligible))
    as_of = parameters({"as_of": ready.as_of})
    return read + sum(
        ready.warehouse.scanned(ready.template("source", of=columns), as_of) for columns in ready.columns.values()
    )


def _reckoned(ready: Build, eligible: Statement) -> int:
    """What the events' number and dimension let expect."""
    (volume,) = ready.warehouse.query(ready.template("volume"), _of_events(eligible))
    return cost.reading(volume["deliveries"], volume["dimension"]).bytes


def _of_events(eligible: Statement) -> Parameters:
    """Which events they are, whatever was known of them."""
    return [each for each in eligible.parameters if each.name != "as_of"]
