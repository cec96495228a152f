"""The training loop: mini-batches of stored vectors and early stopping; the same seed gives the same weights."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from rawless.heads.modules import Exportable, Head
from rawless.heads.spec import HeadSpec

INFERENCE_BATCH_SIZE = 8192
MIN_IMPROVEMENT = 1e-5
"""Minimum decrease of the validation loss that counts as an improvement."""


@dataclass(frozen=True)
class Rows:
    """Rows of one split: inputs, labels and ids, with one entry for each row."""

    inputs: tuple[Tensor, ...]
    labels: Tensor
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "Rows":
        """Return the rows at these indices."""
        ids = [self.ids[index] for index in indices.tolist()]
        return Rows(tuple(values[indices] for values in self.inputs), self.labels[indices], ids)


@dataclass(frozen=True)
class History:
    """The losses of a training by epoch, and the epoch whose weights were kept, from 1."""

    train: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int


def fit(
    head: Head, spec: HeadSpec, train: Rows, validation: Rows, measure: Callable[[Head], float] | None = None
) -> History:
    """Train a head in place and keep the weights of the best epoch, or of the last one without validation rows.

    The best epoch has the lowest validation loss. With `measure` it has the highest measure, of equal ones the lowest
    loss, and the weights before the first epoch (epoch 0) count as well.
    """
    with torch.random.fork_rng(), one_thread():
        torch.manual_seed(spec.seed)  # dropout draws from the global generator
        return _fit(head, spec, train, validation, measure)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, since operations are so small that threads wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fit(head: Head, spec: HeadSpec, train: Rows, validation: Rows, measure: Callable[[Head], float] | None) -> History:
    generator = torch.Generator().manual_seed(spec.seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay, fused=True)
    losses: list[tuple[float, float]] = []
    best_state = copy.deepcopy(head.state_dict())
    best_measure, best_loss = (measure(head), mean_loss(head, validation)) if measure else (0.0, float("inf"))
    epochs_since_best = 0
    for _ in range(spec.epochs):
        losses.append((_train_epoch(head, optimizer, spec, train, generator), mean_loss(head, validation)))
        loss = losses[-1][1] if len(validation) else -float(len(losses))
        value = measure(head) if measure else best_measure
        epochs_since_best += 1
        if value > best_measure or (value == best_measure and loss < best_loss - MIN_IMPROVEMENT):
            best_measure, best_loss, best_state = value, loss, copy.deepcopy(head.state_dict())
            epochs_since_best = 0
        if epochs_since_best >= spec.patience:
            break
    head.load_state_dict(best_state)
    head.eval()
    train_losses, validation_losses = zip(*losses, strict=True)
    return History(train_losses, validation_losses, len(losses) - epochs_since_best)


def _train_epoch(
    head: Head, optimizer: torch.optim.Optimizer, spec: HeadSpec, rows: Rows, generator: torch.Generator
) -> float:
    """Return the mean loss over all batches, each as it was before its step."""
    head.train()
    total = 0.0
    for indices in torch.split(torch.randperm(len(rows), generator=generator), spec.batch_size):
        optimizer.zero_grad(set_to_none=True)
        loss = head.loss(rows.labels[indices], *(values[indices] for values in rows.inputs))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(loss.detach()) * len(indices)
    return total / max(len(rows), 1)


@torch.no_grad()
def mean_loss(head: Head, rows: Rows) -> float:
    """Return the mean loss over rows without training; NaN where there are none."""
    if not len(rows):
        return float("nan")
    head.eval()
    total = 0.0
    for indices in torch.split(torch.arange(len(rows)), INFERENCE_BATCH_SIZE):
        total += float(head.loss(rows.labels[indices], *(values[indices] for values in rows.inputs))) * len(indices)
    return total / len(rows)


@torch.no_grad()
def predict(module: Exportable, inputs: Sequence[Tensor]) -> Tensor:
    """Return the answers of a module for rows of any number, computed in batches."""
    module.eval()
    batches = torch.split(torch.arange(len(inputs[0])), INFERENCE_BATCH_SIZE)
    return torch.cat([module(*(values[indices] for values in inputs)) for indices in batches])
