"""The baseline of a head that needs raw content: its encoder fine-tuned on the events that the snapshot is of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rawless.errors import UserError
from rawless.heads.training import TrainedHead
from rawless.warehouse.client import Warehouse


class Content(NamedTuple):
    """Where the raw content of a snapshot's events is."""

    stream: Path
    source: str
    metadata: Path | None
    epochs: int


def with_finetuned(
    warehouse: Warehouse, trained: TrainedHead, content: Content, told: Callable[[str], None]
) -> TrainedHead:
    """The head with one more baseline. Raises UserError when the content is not that of the snapshot."""
    import torch

    from encoders.catalogue import lookup
    from encoders.load import build
    from rawless.connect import open_key_source
    from rawless.events.sources import open_bounded_source
    from rawless.events.stream import load_stream
    from rawless.lifecycle.finetune import contents, finetune

    task, stream = trained.task, load_stream(content.stream)
    ids = [event_id for split in task.splits.values() for event_id in split.rows.ids]
    spec = lookup(str(task.manifest.spec["spec"]["encoder"]))
    if spec.fingerprint != task.manifest.fingerprint:
        raise UserError(f"The encoder {spec.ref} of the catalogue is not the one of {task.manifest.snapshot_id}.")
    key = None if stream.subject == "none" else open_key_source(warehouse).load()
    told("reading content")
    raw = contents(open_bounded_source(content.source, stream, content.metadata), stream, key, ids)
    found = finetune(task, build(spec, torch.device("cpu")), raw, content.epochs, told)
    baselines = {**trained.evaluation.baselines, "finetuned": found}
    return replace(trained, evaluation=trained.evaluation.model_copy(update={"baselines": baselines}))
