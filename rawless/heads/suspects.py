"""Suspected mislabels: rows whose nearest rows in train mostly have one other label.

After Wilson's edited nearest neighbours, 'Asymptotic Properties of Nearest Neighbor Rules Using Edited Data' (1972).
"""

from collections.abc import Iterator

import torch
from torch.nn import functional

from rawless.datasets.spec import SPLITS
from rawless.heads.evaluation import Suspect
from rawless.heads.examples import Task

NEIGHBOURS = 10
SHARE = 0.8
"""Of the neighbours that must agree on another label."""
_AT_ONCE = 1024


def find(task: Task) -> Iterator[Suspect]:
    """Over all splits, a row's own vector left out."""
    train = task.splits["train"].rows
    base = functional.normalize(train.inputs[0], dim=1)
    count = min(NEIGHBOURS, len(train) - 1)
    if count < 1:
        return
    for split in SPLITS:
        rows = task.splits[split].rows
        for places in torch.split(torch.arange(len(rows)), _AT_ONCE):
            close = functional.normalize(rows.inputs[0][places], dim=1) @ base.T
            if split == "train":
                close[torch.arange(len(places)), places] = -2
            votes = functional.one_hot(train.labels[close.topk(count, dim=1).indices], len(task.classes)).sum(1)
            most, said = votes.max(1)
            for n, place in enumerate(places.tolist()):
                label = int(rows.labels[place])
                if int(said[n]) != label and int(most[n]) >= SHARE * count:
                    share = int(most[n]) / count
                    yield Suspect(rows.ids[place], task.classes[label], task.classes[int(said[n])], share)
