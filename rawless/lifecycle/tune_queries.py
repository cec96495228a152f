"""Tuning a copy of an encoder on queries, against the stored vectors of the documents, which stay as they are.

It runs where raw content may be read and keeps it in memory only.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from encoders.batch_encoder import BatchEncoder
from rawless.lifecycle.searches import MRR, RECALL, Searches, means

BATCH_SIZE = 32
CANDIDATES = 256
"""Documents among which a query's own is to be found: those of the batch, and others at random."""
TEMPERATURE = 0.05
PATIENCE = 3
"""Epochs without a better validation, after which training stops."""
_ENCODED = 64


@dataclass(frozen=True)
class TuningOptions:
    """How a tower is trained."""

    epochs: int = 20
    """The maximum; training stops early."""
    learning_rate: float = 5e-5
    seed: int = 0


@dataclass(frozen=True)
class Validation:
    """The measures on validation before training and of the epoch that was kept, which is 0 if none was better."""

    before: dict[str, float]
    after: dict[str, float]
    epoch: int


def encode_queries(encoder: BatchEncoder[Any], items: Sequence[Any]) -> Tensor:
    """Return the vectors of prepared queries, of shape (queries, dimension).

    Queries of about the same length are encoded together, since a batch is padded to its longest.
    """
    order = torch.tensor([encoder.model.cost(item) for item in items]).argsort(stable=True)
    with torch.no_grad():
        parts = torch.split(order, _ENCODED)
        vectors = [encoder.network(*encoder.inputs([items[index] for index in part.tolist()])) for part in parts]
        return torch.cat(vectors)[order.argsort()]


def tune(
    encoder: BatchEncoder[Any],
    train: tuple[Searches, Sequence[Any]],
    validation: tuple[Searches, Sequence[Any]],
    options: TuningOptions,
    report_progress: Callable[[str], None],
) -> Validation:
    """Train the parameters of an encoder that require gradients, in place, and keep the best epoch on validation.

    `train` and `validation` have the prepared queries in the order of the searches' queries. The loss is InfoNCE (van
    den Oord et al., 'Representation Learning with Contrastive Predictive Coding', 2018) with the batch's documents as
    negatives, as Karpukhin et al. do ('Dense Passage Retrieval', 2020), and others at random: as no document is
    encoded, these cost next to nothing. An epoch has each query once, with one of its documents. The best epoch
    has the highest mean reciprocal rank among those whose recall is not lower than before training.
    """
    network, parameters = encoder.network, [each for each in encoder.network.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate)
    generator = torch.Generator().manual_seed(options.seed)

    def validate() -> dict[str, float]:
        searches, items = validation
        return means(searches.ranks(encode_queries(encoder, items)))

    before = best = validate()
    best_epoch, best_state = 0, copy.deepcopy(network.state_dict())
    for epoch in range(1, options.epochs + 1):
        report_progress(f"epoch {epoch} of at most {options.epochs}, {MRR} on validation {best[MRR]:.3f}")
        for pairs in torch.split(train[0].one_pair_each(generator), BATCH_SIZE):
            optimizer.zero_grad(set_to_none=True)
            loss = _loss(encoder, *train, pairs, generator)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        measured = validate()
        if measured[MRR] > best[MRR] and measured[RECALL] >= before[RECALL]:
            best, best_epoch, best_state = measured, epoch, copy.deepcopy(network.state_dict())
        if epoch - best_epoch >= PATIENCE:
            break
    network.load_state_dict(best_state)
    return Validation(before, best, best_epoch)


def _loss(
    encoder: BatchEncoder[Any], searches: Searches, items: Sequence[Any], pairs: Tensor, generator: torch.Generator
) -> Tensor:
    queries = encoder.network(*encoder.inputs([items[index] for index in searches.query[pairs].tolist()]))
    own = searches.document[pairs]
    count = min(len(searches.documents), CANDIDATES)
    others = torch.randint(len(searches.documents), (count,), generator=generator)
    candidates = torch.unique(torch.cat((own, others)))
    targets = torch.searchsorted(candidates, own)
    logits = functional.normalize(queries, dim=1) @ searches.documents[candidates].T / TEMPERATURE
    left_out = searches.left_out(pairs, candidates)
    left_out[torch.arange(len(pairs)), targets] = False
    return functional.cross_entropy(logits.masked_fill(left_out, -torch.inf), targets)
