"""Fine-tuning an encoder together with a classifier on raw content, as a baseline for a head on frozen vectors.

It runs where raw content may be read and keeps it in memory only. Only metrics are returned: neither weights nor
vectors are kept, and the encoder's files and network stay unchanged.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from encoders.batch_encoder import BatchEncoder
from rawless.datasets.spec import Split
from rawless.errors import UserError
from rawless.events.event import Event
from rawless.events.filtered_source import FilteredSource
from rawless.events.parse import Parser
from rawless.events.source import BoundedSource, read_all
from rawless.events.stored_objects import read_object
from rawless.events.stream import Stream
from rawless.heads import metrics
from rawless.heads.examples import Examples, Task
from rawless.heads.metrics import Metric, bootstrap
from rawless.privacy import Raw, Reason, guarded
from rawless.privacy.pseudonyms import PseudonymKey

BATCH_SIZE = 16
LEARNING_RATE = 1e-4
CLASSIFIER_LEARNING_RATE = 5e-3
_SPLITS: tuple[Split, ...] = ("train", "test")


def read_payloads(
    source: BoundedSource, stream: Stream, key: PseudonymKey | None, ids: Sequence[str]
) -> dict[str, Raw[bytes]]:
    """Return the payloads of the events with these ids that are within the stream's limits, by event id."""
    parser = Parser(stream, key, read_object)
    selected = FilteredSource(source, stream.stream, frozenset(ids))
    payloads: dict[str, Raw[bytes]] = {}
    for delivery in read_all(selected):
        outcome = parser.parse(delivery, datetime.now(UTC)).outcome
        if isinstance(outcome, Event):
            payloads.setdefault(outcome.event_id, outcome.payload)
    return payloads


def finetune(
    task: Task,
    encoder: BatchEncoder[Any],
    payloads: Mapping[str, Raw[bytes]],
    epochs: int,
    report_progress: Callable[[str], None],
) -> tuple[Metric, ...]:
    """Return the metrics on test of an encoder and a classifier that were trained together on train.

    `payloads` are the raw contents by event id; `report_progress` is called before each epoch. Raises UserError.
    """
    if task.kind.is_of_pairs or task.manifest.is_number:
        raise UserError(
            "The fine-tuning baseline supports classifiers of single events only, neither pairs nor numbers."
        )
    train, test = (_prepare(encoder, task.splits[split], payloads) for split in _SPLITS)
    for split, prepared in zip(_SPLITS, (train, test), strict=True):
        if missing := len(task.splits[split]) - len(prepared.items):
            raise UserError(
                f"{missing:,} events of {split} are not in the source: name the source that they were read from."
            )
    probabilities = guarded(_train, encoder, train, test, len(task.classes), epochs, task.spec.seed, report_progress)
    if isinstance(probabilities, Reason):
        raise UserError("The encoder cannot be fine-tuned on these events: its network failed on one of them.")
    return bootstrap(metrics.classification_metrics, np.array(test.labels), probabilities, seed=task.spec.seed)


class _Prepared(NamedTuple):
    """Items that are ready for the network, and their labels."""

    items: list[Any]
    labels: list[int]


def _prepare(encoder: BatchEncoder[Any], examples: Examples, payloads: Mapping[str, Raw[bytes]]) -> _Prepared:
    """Prepare the examples whose payload is there and is accepted by the encoder."""
    prepared = _Prepared([], [])
    for event_id, label in zip(examples.rows.ids, examples.rows.labels.tolist(), strict=True):
        payload = payloads.get(event_id)
        item = Reason.OBJECT_NOT_FOUND if payload is None else encoder.prepare(payload)
        if not isinstance(item, Reason):
            prepared.items.append(item)
            prepared.labels.append(label)
    return prepared


def _train(
    encoder: BatchEncoder[Any],
    train: _Prepared,
    test: _Prepared,
    classes: int,
    epochs: int,
    seed: int,
    report_progress: Callable[[str], None],
) -> npt.NDArray[np.float32]:
    """Return the probabilities of the test items, of shape (rows, classes)."""
    network, generator = copy.deepcopy(encoder.network), torch.Generator().manual_seed(seed)
    network.requires_grad_(True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = nn.Linear(encoder.spec.dimension, classes)
    groups = ((network, LEARNING_RATE), (classifier, CLASSIFIER_LEARNING_RATE))
    optimizer = torch.optim.AdamW([{"params": module.parameters(), "lr": rate} for module, rate in groups])
    labels = torch.tensor(train.labels)
    for epoch in range(epochs):
        report_progress(f"epoch {epoch + 1} of {epochs}")
        for indices in torch.split(torch.randperm(len(labels), generator=generator), BATCH_SIZE):
            batch = encoder.inputs([train.items[index] for index in indices.tolist()])
            loss = functional.cross_entropy(classifier(_scale(network(*batch))), labels[indices])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        starts = range(0, len(test.items), BATCH_SIZE)
        batches = [encoder.inputs(test.items[start : start + BATCH_SIZE]) for start in starts]
        logits = torch.cat([classifier(_scale(network(*batch))) for batch in batches])
    return np.asarray(torch.softmax(logits, dim=1).numpy())


def _scale(vectors: torch.Tensor) -> torch.Tensor:
    """Scale vectors to length √dimension, so that the learning rate suits encoders with vectors of any length."""
    scaled: torch.Tensor = functional.normalize(vectors, dim=1) * vectors.shape[1] ** 0.5
    return scaled
