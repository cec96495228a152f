"""What an adapter keeps of the encoder into whose space it maps: neighbours and heads, native against adapted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoders.adapter_map import AdapterMap, read_adapter
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.metrics import Array, Metric, bootstrap
from rawless.lifecycle.adapter_choice import MOST_QUERIES, neighbours, test_rows
from rawless.lifecycle.adapter_fit import Pairs, identity
from rawless.lifecycle.adapter_heads import heads_through
from rawless.lifecycle.head_changes import HeadChange
from rawless.lifecycle.native_neighbours import unit
from rawless.lifecycle.paired_vectors import PairedVectors
from rawless.warehouse.client import Warehouse


@dataclass(frozen=True)
class AdapterComparison:
    """Native against adapted vectors. Native ones have a recall of 1 by definition."""

    adapted: EncoderSpec
    target: EncoderSpec
    k: int
    queries: int
    """Events whose mapped vectors were searched for in an index of native ones."""
    recall: Metric
    """Which share of the native neighbours a mapped vector finds."""
    unadapted: Metric
    """The same of vectors of the source as they are, cut off or padded to the dimension of the target."""
    cosine: float
    """The mean cosine of mapped and native vectors."""
    heads: tuple[HeadChange, ...]
    """Heads of the target, on native and, as `unchanged`, on adapted vectors."""
    is_sample: bool
    """Whether there are more events with vectors of both encoders than were read."""

    @property
    def note(self) -> str:
        """On which events it was measured, and what that rests on."""
        start = "Measured on events that `rawless encoder adapt` keeps for its test, so that the map was not fitted to "
        if self.is_sample:
            return (
                f"{start}them if it was learned from the same stream; heads may be judged on others, too, because not "
                "all events with both vectors were read: raise --rows."
            )
        return f"{start}them if it was learned from the same stream and with the same pseudonyms."


def check_adapter(adapted: EncoderSpec, source: EncoderSpec, target: EncoderSpec) -> None:
    """Raise UserError unless the encoder has an adapter from the source into the space of the target."""
    adapter = adapted.adapter
    if adapter is None:
        raise UserError(f"--adapter is {adapted.ref}, which has no adapter: name what `rawless encoder adapt` made.")
    if (adapter.source, adapter.target) != (source.fingerprint, target.fingerprint):
        swapped = (adapter.source, adapter.target) == (target.fingerprint, source.fingerprint)
        remedy = "name the two encoders in the other order" if swapped else "name the encoders that it was made for"
        raise UserError(f"--adapter is {adapted.ref}, which does not map {source.ref} to {target.ref}: {remedy}.")


def compare_adapter(
    warehouse: Warehouse,
    heads: Path,
    adapted: EncoderSpec,
    source: EncoderSpec,
    target: EncoderSpec,
    pairs: PairedVectors,
    *,
    is_sample: bool,
    k: int = 10,
    seed: int = 0,
    report_progress: Callable[[str], None] = lambda _: None,
) -> AdapterComparison:
    """Measure the adapter on those of the events to which it was not fitted. Raises UserError if there are too few."""
    check_adapter(adapted, source, target)
    rows = test_rows(pairs)
    if not len(rows) or len(pairs) <= k:
        raise UserError(
            f"{len(pairs):,} events of {pairs.stream} have vectors of both encoders, {len(rows):,} of them kept for "
            f"the test of an adapter, which is too few to compare {k} neighbours: log both encoders for longer."
        )
    report_progress("adapter")
    adapter, first = read_adapter(adapted), pairs.first[rows[:MOST_QUERIES]]
    native = neighbours(pairs.second, rows, k)
    persons = [pairs.subject_keys[row] for row in rows[:MOST_QUERIES]]

    def recall(map_: AdapterMap) -> Metric:
        (metric,) = bootstrap(
            lambda found: {f"recall@{k}": float(found.mean())}, native.found(map_.apply(first)), seed=seed,
            persons=persons,
        )  # fmt: skip
        return metric

    cosines: Array = (unit(adapter.apply(first)) * unit(pairs.second[rows[:MOST_QUERIES]])).sum(axis=1)
    fitted_to = frozenset(pairs.event_ids) - {pairs.event_ids[row] for row in rows}
    changed = heads_through(warehouse, heads, source, target, adapter, fitted_to, report_progress=report_progress)
    as_they_are = identity(Pairs(first, pairs.second[rows[:MOST_QUERIES]], l2_normalise=target.l2_normalise))
    return AdapterComparison(
        adapted, target, k, len(first), recall(adapter), recall(as_they_are), float(np.mean(cosines)), tuple(changed),
        is_sample,
    )  # fmt: skip
