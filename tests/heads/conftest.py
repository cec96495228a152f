"""Tasks over synthetic and real vectors without a warehouse, and snapshots of pairs in a warehouse."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import SPLITS
from rawless.heads import kinds
from rawless.heads.examples import Examples, Task
from rawless.heads.features import HeadFeature
from rawless.heads.fit import Rows
from rawless.heads.spec import head_spec
from tests.shop import Shop

MakeTask = Callable[..., Task]


def manifest_of(classes: tuple[str, ...], kind: str) -> Manifest:
    """Return the manifest of a snapshot with these classes, or with numbers."""
    label = {"kind": kind, **({"classes": list(classes)} if classes else {"type": "number", "range": [0, 1]})}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    spec = {"spec": {"encoder": "tiny@1.0.0", "label": label}}
    return Manifest("synthetic", "a" * 24, spec, "", at, "f" * 64, (), (), (), "", 0, at)


def make_task(
    inputs: tuple[Any, ...],
    labels: Any,
    classes: tuple[str, ...] = (),
    tenants: tuple[str, ...] = (),
    events: Any = None,
    persons: Any = None,
    features: tuple[HeadFeature, ...] = (),
    **spec: Any,
) -> Task:
    """Return a task over arrays: 60% of the rows are train, 20% are validation, 20% are test.

    `events` are the numbers of the two events of each row for a ranking; by default all are different.
    """
    head = head_spec({"head": "synthetic", "snapshot": "synthetic", "kind": "linear"} | spec)
    count = len(labels)
    if kinds.find(head.kind).predicts_labels is False:  # rankings need to know which events are the same
        numbers = np.arange(2 * count).reshape(2, count).T if events is None else events
        inputs = (*inputs[:2], numbers, *inputs[2:])
    parts = np.split(np.arange(count), [count * 6 // 10, count * 8 // 10])
    tensors = [torch.as_tensor(np.asarray(values)) for values in inputs]
    tensors = [tensor.float() if tensor.is_floating_point() else tensor for tensor in tensors]
    targets = torch.as_tensor(np.asarray(labels))
    splits = {}
    for split, indices in zip(SPLITS, parts, strict=True):
        rows = Rows(tuple(tensor[indices] for tensor in tensors), targets[indices], [f"e-{n}" for n in indices])
        facts = pd.DataFrame({"month": ["2026-01" if n % 2 else "2026-02" for n in indices]})
        splits[split] = Examples(
            rows, facts, [(name,) for name in rows.ids], [persons[n] if persons is not None else None for n in indices]
        )
    return Task(
        head, manifest_of(classes, "pair" if kinds.find(head.kind).is_of_pairs else "event"), splits, tenants, features
    )


MATCHED = """/*
says: Events that were matched.
kind: pair
*/
SELECT matched.left_event_id, matched.right_event_id, matched.same AS label, matched.known_at AS labelled_at
FROM matched
"""


@pytest.fixture
def build_pairs(shop: Shop) -> Callable[..., Manifest]:
    """Build a snapshot of 60 pairs, each of one person's uploads; fields of the dataset can be overridden."""
    (shop.folder / "labels" / "matched.sql").write_text(MATCHED)
    numbers = range(60)
    shop.load(
        "matched",
        {
            "left_event_id": [f"e-{number}" for number in numbers],
            "right_event_id": [f"e-{number + 40}" for number in numbers],  # of the same person
            "same": ["yes" if number % 2 else "no" for number in numbers],
            "matched_at": [shop.as_of] * 60,
        },
    )
    dataset = {
        "sources": [{"table": "matched", "known_at": "matched_at"}],
        "label": {"query": "matched", "kind": "pair", "classes": ["no", "yes"]},
        "rules": None,
    }
    return lambda **fields: shop.build(**(dataset | fields)).manifest


@pytest.fixture(scope="session")
def digits() -> tuple[Any, Any]:
    """Return the 1,797 digits of scikit-learn as vectors of 64 pixels with their labels, in random order."""
    vectors, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return vectors[order].astype(np.float32), labels[order]


DIGITS = tuple(str(digit) for digit in range(10))
