"""Training: mini-batches of stored vectors, early stopping on validation, the same numbers from the same seed."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rawless.heads.modules import Head
from rawless.heads.spec import HeadSpec

WHOLE_BATCH = 8192
"""Rows that are judged at once."""


@dataclass(frozen=True)
class Rows:
    """Rows of one split: the head's inputs, each with as many rows as there are labels."""

    inputs: tuple[Tensor, ...]
    labels: Tensor
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: Tensor) -> "Rows":
        """Some of them."""
        chosen = [self.ids[place] for place in places.tolist()]
        return Rows(tuple(each[places] for each in self.inputs), self.labels[places], chosen)


@dataclass(frozen=True)
class History:
    """Of one training: losses by epoch, and which epoch the head was kept from."""

    train: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int


def fit(head: Head, spec: HeadSpec, train: Rows, validation: Rows) -> History:
    """Train a head in place; it ends as it was in its best epoch. Without validation rows it trains all epochs."""
    chance = torch.Generator().manual_seed(spec.seed)
    optimiser = torch.optim.AdamW(head.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
    losses: list[tuple[float, float]] = []
    best, kept = float("inf"), copy.deepcopy(head.state_dict())
    since = 0
    for _ in range(spec.epochs):
        losses.append((_epoch(head, optimiser, spec, train, chance), judge(head, validation)))
        found = losses[-1][1] if len(validation) else -float(len(losses))
        since += 1
        if found < best - 1e-5:
            best, kept, since = found, copy.deepcopy(head.state_dict()), 0
        if since >= spec.patience:
            break
    head.load_state_dict(kept)
    head.eval()
    told = tuple(zip(*losses, strict=True))
    return History(told[0], told[1], len(losses) - since)


def _epoch(head: Head, optimiser: torch.optim.Optimizer, spec: HeadSpec, rows: Rows, chance: torch.Generator) -> float:
    """The mean loss over all batches, as they came."""
    head.train()
    total = 0.0
    for places in torch.split(torch.randperm(len(rows), generator=chance), spec.batch_size):
        optimiser.zero_grad(set_to_none=True)
        loss = head.loss(rows.labels[places], *(each[places] for each in rows.inputs))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += float(loss.detach()) * len(places)
    return total / max(len(rows), 1)


@torch.no_grad()
def judge(head: Head, rows: Rows) -> float:
    """The mean loss over rows, nothing learned; NaN where there are none."""
    if not len(rows):
        return float("nan")
    head.eval()
    total = 0.0
    for places in torch.split(torch.arange(len(rows)), WHOLE_BATCH):
        total += float(head.loss(rows.labels[places], *(each[places] for each in rows.inputs))) * len(places)
    return total / len(rows)


@torch.no_grad()
def answers(head: Head, inputs: Sequence[Tensor]) -> Tensor:
    """What a head answers, in batches."""
    head.eval()
    places = torch.split(torch.arange(len(inputs[0])), WHOLE_BATCH)
    return torch.cat([head(*(each[part] for each in inputs)) for part in places])
