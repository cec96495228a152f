"""What it costs not to fine-tune an encoder: encoder and classifier trained together on raw content, beside a head.

It runs where raw content may be read, holds it in memory alone, and only measures come out: neither weights nor vectors
are kept, and the encoder's own files and network stay as they are.
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
from rawless.events.stream import Stream
from rawless.heads import metrics
from rawless.heads.examples import Examples, Task
from rawless.heads.metrics import Metric, bootstrap
from rawless.privacy import Raw, Reason, guarded
from rawless.privacy.pseudonyms import PseudonymKey

BATCH = 16
LEARNING_RATE = 1e-4
CLASSIFIER_LEARNING_RATE = 5e-3


def contents(
    source: BoundedSource, stream: Stream, key: PseudonymKey | None, ids: Sequence[str]
) -> dict[str, Raw[bytes]]:
    """The payloads of events with these ids, in memory, each within the stream's limits."""
    parser, chosen = Parser(stream, key), FilteredSource(source, stream.stream, frozenset(ids))
    found: dict[str, Raw[bytes]] = {}
    for delivery in read_all(chosen):
        outcome = parser.parse(delivery, datetime.now(UTC)).outcome
        if isinstance(outcome, Event):
            found.setdefault(outcome.event_id, outcome.payload)
    return found


def finetune(
    task: Task, encoder: BatchEncoder[Any], raw: Mapping[str, Raw[bytes]], epochs: int, told: Callable[[str], None]
) -> tuple[Metric, ...]:
    """The measures on test of encoder and classifier trained together on train. Raises UserError."""
    if task.kind.is_of_pairs or task.manifest.is_number:
        raise UserError("Fine-tuning is measured for classifiers of single events: for pairs and numbers it is not.")
    train, test = (_prepared(encoder, task.splits[split], raw) for split in _USED)
    for split, found in zip(_USED, (train, test), strict=True):
        if missing := len(task.splits[split]) - len(found.items):
            raise UserError(f"{missing:,} events of {split} are not in the source: name the one that they came from.")
    answered = guarded(_train, encoder, train, test, len(task.classes), epochs, task.spec.seed, told)
    if isinstance(answered, Reason):
        raise UserError("The encoder cannot be fine-tuned on these events: its network failed on one of them.")
    return bootstrap(metrics.classification_metrics, np.array(test.labels), answered, seed=task.spec.seed)


_USED: tuple[Split, ...] = ("train", "test")


class _Items(NamedTuple):
    """Items ready for the network, and their labels."""

    items: list[Any]
    labels: list[int]


def _prepared(encoder: BatchEncoder[Any], examples: Examples, raw: Mapping[str, Raw[bytes]]) -> _Items:
    """Without those whose content is not there."""
    found = _Items([], [])
    for event_id, label in zip(examples.rows.ids, examples.rows.labels.tolist(), strict=True):
        content = raw.get(event_id)
        ready = Reason.OBJECT_NOT_FOUND if content is None else encoder.prepare(content)
        if not isinstance(ready, Reason):
            found.items.append(ready)
            found.labels.append(label)
    return found


def _train(
    encoder: BatchEncoder[Any], train: _Items, test: _Items, classes: int, epochs: int, seed: int,
    told: Callable[[str], None],
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Probabilities of the test items, of shape (rows, classes)."""
    network, chance = copy.deepcopy(encoder.network), torch.Generator().manual_seed(seed)
    network.requires_grad_(True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = nn.Linear(encoder.spec.dimension, classes)
    groups = ((network, LEARNING_RATE), (classifier, CLASSIFIER_LEARNING_RATE))
    optimiser = torch.optim.AdamW([{"params": part.parameters(), "lr": rate} for part, rate in groups])
    labels = torch.tensor(train.labels)
    for epoch in range(epochs):
        told(f"epoch {epoch + 1} of {epochs}")
        for places in torch.split(torch.randperm(len(labels), generator=chance), BATCH):
            batch = encoder.inputs([train.items[place] for place in places.tolist()])
            loss = functional.cross_entropy(classifier(_scaled(network(*batch))), labels[places])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    with torch.no_grad():
        batches = [encoder.inputs(test.items[at : at + BATCH]) for at in range(0, len(test.items), BATCH)]
        logits = torch.cat([classifier(_scaled(network(*batch))) for batch in batches])
    return np.asarray(torch.softmax(logits, dim=1).numpy())


def _scaled(vectors: torch.Tensor) -> torch.Tensor:
    """To length √dimension, so that vectors of length one and others learn at the same rate."""
    scaled: torch.Tensor = functional.normalize(vectors, dim=1) * vectors.shape[1] ** 0.5
    return scaled
