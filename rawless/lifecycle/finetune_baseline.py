"""Adding the fine-tuning baseline to a trained head, from the raw content of the snapshot's events."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rawless.errors import UserError
from rawless.heads.training import TrainedHead
from rawless.privacy import Raw
from rawless.warehouse.client import Warehouse


class Content(NamedTuple):
    """The source of the raw content of a snapshot's events, and the epochs to train."""

    stream: Path
    source: str
    metadata: str | None
    epochs: int


def with_finetuned(
    warehouse: Warehouse, trained: TrainedHead, content: Content, report_progress: Callable[[str], None]
) -> TrainedHead:
    """Return the head with the baseline `finetuned` added to its evaluation.

    Raises UserError when the content or the encoder is not that of the head's snapshot.
    """
    import torch

    from encoders.catalogue import lookup
    from encoders.load import build
    from rawless.lifecycle.finetune import finetune

    task = trained.task
    ids = [event_id for split in task.splits.values() for event_id in split.rows.ids]
    spec = lookup(str(task.manifest.spec["spec"]["encoder"]))
    if spec.fingerprint != task.manifest.fingerprint:
        raise UserError(
            f"The encoder {spec.ref} of the catalogue is not the one that {task.manifest.snapshot_id} was built with: "
            "install the version of Rawless that built it."
        )
    report_progress("reading content")
    payloads = read_content(warehouse, content, ids)
    trainable = build(spec.model_copy(update={"precision": "fp32"}), torch.device("cpu"))
    metrics = finetune(task, trainable, payloads, content.epochs, report_progress)
    baselines = {**trained.evaluation.baselines, "finetuned": metrics}
    return replace(trained, evaluation=trained.evaluation.model_copy(update={"baselines": baselines}))


def read_content(warehouse: Warehouse, content: Content, ids: Sequence[str]) -> dict[str, Raw[bytes]]:
    """Return the raw contents of the events with these ids that are in the source, by event id. Raises UserError."""
    from rawless.connect import open_key_source
    from rawless.events.sources import open_bounded_source
    from rawless.events.stream import load_stream
    from rawless.lifecycle.finetune import read_payloads
    from rawless.warehouse.table_streams import Tables

    stream = load_stream(content.stream)
    key = None if stream.subject == "none" else open_key_source(warehouse).load()
    events = open_bounded_source(content.source, stream, content.metadata, tables=lambda: Tables(warehouse))
    return read_payloads(events, stream, key, ids)
