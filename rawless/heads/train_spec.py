"""Training a head by its spec: reading the snapshot that it names, and the one that is out of its scope."""

from collections.abc import Callable

from rawless.datasets.snapshots import find
from rawless.heads.examples import open_task
from rawless.heads.out_of_scope import check_out_of_scope, with_out_of_scope
from rawless.heads.spec import HeadSpec
from rawless.heads.training import TrainedHead, train
from rawless.warehouse.client import Warehouse


def train_spec(warehouse: Warehouse, spec: HeadSpec, report_progress: Callable[[str], None]) -> TrainedHead:
    """Train and evaluate the head of a spec, without publishing it. Raises UserError.

    `report_progress` is called with the name of each step.
    """
    report_progress("reading")
    snapshot = find(warehouse, spec.snapshot)
    task = open_task(warehouse, spec, snapshot)
    domain = task.kind.domain(spec, snapshot)
    out_of_scope = find(warehouse, domain.out_of_scope) if domain and domain.out_of_scope else None
    if out_of_scope:
        check_out_of_scope(task, out_of_scope)
    trained = train(task, report_progress)
    return with_out_of_scope(warehouse, trained, out_of_scope) if out_of_scope else trained
