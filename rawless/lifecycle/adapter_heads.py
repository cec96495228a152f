"""What an adapter costs each head of the encoder into whose space it maps."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from encoders.adapter_map import AdapterMap
from encoders.spec import EncoderSpec, Vector
from rawless.lifecycle.head_changes import HeadChange, head_changes
from rawless.lifecycle.paired_vectors import vectors_of
from rawless.warehouse.client import Warehouse


def heads_through(
    warehouse: Warehouse,
    heads: Path,
    source: EncoderSpec,
    target: EncoderSpec,
    adapter: AdapterMap,
    fitted_to: Collection[str] = frozenset(),
    *,
    report_progress: Callable[[str], None] = lambda _: None,
) -> list[HeadChange]:
    """Return each registered head of `target` on native vectors, and unchanged on mapped vectors of `source`.

    `fitted_to` are the events to which the map was fitted: a head is not judged on them.
    """

    def mapped(stream: str, event_ids: Sequence[str]) -> Mapping[str, Vector]:
        native = vectors_of(warehouse, stream, source, [each for each in event_ids if each not in fitted_to])
        return {event_id: adapter.apply(vector[None])[0] for event_id, vector in native.items()}

    return head_changes(
        warehouse, heads, target, target, mapped, refit=False, report_progress=report_progress
    )  # fmt: skip
