"""Suspected mislabels: rows most of whose nearest neighbours in train have one other label.

After the edited nearest neighbour rule: Wilson, 'Asymptotic Properties of Nearest Neighbor Rules Using Edited Data'
(1972).
"""

from collections.abc import Iterator

import torch
from torch.nn import functional

from rawless.datasets.spec import SPLITS
from rawless.heads.evaluation import SuspectedMislabel
from rawless.heads.examples import Task

NEIGHBOURS = 10
MIN_SHARE = 0.8
"""Share of neighbours that must agree on another label."""
_BATCH_SIZE = 1024


def suspected_mislabels(task: Task) -> Iterator[SuspectedMislabel]:
    """Yield the suspected mislabels of all splits; a row is no neighbour of itself."""
    train = task.splits["train"].rows
    train_vectors = functional.normalize(train.inputs[0], dim=1)
    count = min(NEIGHBOURS, len(train) - 1)
    if count < 1:
        return
    for split in SPLITS:
        rows = task.splits[split].rows
        if len(rows) == 0:
            continue
        for indices in torch.split(torch.arange(len(rows)), _BATCH_SIZE):
            cosines = functional.normalize(rows.inputs[0][indices], dim=1) @ train_vectors.T
            if split == "train":
                cosines[torch.arange(len(indices)), indices] = -2
            neighbours = train.labels[cosines.topk(count, dim=1).indices]
            votes, winners = functional.one_hot(neighbours, len(task.classes)).sum(1).max(1)
            for index, vote, winner in zip(indices.tolist(), votes.tolist(), winners.tolist(), strict=True):
                label = int(rows.labels[index])
                if winner != label and vote >= MIN_SHARE * count:
                    yield SuspectedMislabel(rows.ids[index], task.classes[label], task.classes[winner], vote / count)
