"""A head that remembers rows is caught, and one that does not is not; what is found is recorded."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rawless.audit.leakage.attack import Measure
from rawless.audit.leakage.membership import (
    LOSS,
    SHADOW,
    STRONGER,
    audit_membership,
    measure_membership,
    trained_on,
    true_positive_rate,
)
from rawless.errors import UserError
from rawless.heads.examples import Task, make_head, open_task
from rawless.heads.fit import fit, predict
from rawless.heads.publish import graphs_of, manifest_of
from rawless.heads.session import HeadSession
from rawless.heads.spec import head_spec
from rawless.heads.training import train
from tests.heads.conftest import make_task
from tests.shop import Shop


@pytest.fixture(autouse=True)
def _smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawless.audit.leakage.membership.RESAMPLES", 100)


def noise_task(rows: int, labels: Any, classes: tuple[str, ...] = ("a", "b"), **spec: Any) -> Task:
    """Return a task whose vectors tell nothing of the labels."""
    return make_task((np.random.default_rng(3).standard_normal((rows, 64)),), labels, classes, **spec)


def without_validation(task: Task) -> Task:
    """Return the same task, on which training does not stop early."""
    validation = task.splits["validation"]
    empty = replace(validation, rows=validation.rows.take(torch.arange(0)))
    return replace(task, splits={**task.splits, "validation": empty})


def audited(task: Task) -> dict[str, Measure]:
    """Train a head on a task, and return the measures of its membership by metric."""
    head = make_head(task)
    fit(head, task.spec, task.splits["train"].rows, task.splits["validation"].rows)
    found = measure_membership(task, lambda rows: predict(head, task.kind.head_inputs(rows)).numpy())
    return {measure.metric: measure for measure in found}


COIN = np.random.default_rng(4).integers(0, 2, 100)


def test_a_network_that_learned_noise_by_heart_is_caught() -> None:
    found = audited(without_validation(noise_task(100, COIN, kind="mlp", epochs=40)))

    assert found[STRONGER].value == found[SHADOW].value > 0.6
    assert found[STRONGER].low > 0.3
    assert found[STRONGER].control < 0.1
    assert found[STRONGER].shuffled < 0.15
    assert found[SHADOW].value > found[LOSS].value
    assert (found[STRONGER].prior, found[STRONGER].attacked_rows) == (0.01, 40)


def test_a_regularised_head_is_near_a_guess() -> None:
    vectors = np.random.default_rng(5).standard_normal((800, 8))
    task = make_task((vectors,), (vectors[:, 0] > 0).astype(int), ("a", "b"), weight_decay=1.0, epochs=10)

    for measure in audited(task).values():
        assert measure.value <= 0.07
        assert measure.low <= 0.01


@pytest.mark.parametrize(
    ("kind", "columns", "labels", "classes"),
    [
        ("mlp", 1, np.random.default_rng(6).uniform(0, 1, 100).astype(np.float32), ()),
        ("pair", 2, np.random.default_rng(6).integers(0, 2, 100), ("no", "yes")),
    ],
)
def test_heads_of_numbers_and_of_pairs_that_learned_noise_by_heart_are_caught(
    kind: str, columns: int, labels: Any, classes: tuple[str, ...]
) -> None:
    vectors = np.random.default_rng(7).standard_normal((columns, 100, 32))
    found = audited(without_validation(make_task(tuple(vectors), labels, classes, kind=kind, hidden=[64], epochs=40)))

    assert found[STRONGER].value > 0.2
    assert found[STRONGER].low > found[STRONGER].control


def test_the_rate_counts_members_above_a_hundredth_of_the_others() -> None:
    scores = np.r_[np.arange(200), [198.5, 197.0, 250.0, 10.0]].astype(float)

    assert true_positive_rate(scores, np.arange(204) >= 200) == 0.5
    assert true_positive_rate(np.zeros(204), np.arange(204) >= 200) == 0


def test_a_ranking_and_too_few_rows_are_refused() -> None:
    with pytest.raises(UserError, match=r"^Only \d+ test rows of .* 20 are needed"):
        audited(noise_task(60, COIN[:60], epochs=1))
    vectors = np.random.default_rng(7).standard_normal((2, 150, 8))
    with pytest.raises(UserError, match="which ranks documents and has no loss for a single row"):
        audited(make_task(tuple(vectors), np.arange(150) % 2, ("no", "yes"), kind="query_transform", epochs=1))


def test_a_published_head_is_audited_with_the_settings_that_it_was_trained_with(shop: Shop) -> None:
    snapshot = shop.build(split={"by": "person", "train": 0.5, "validation": 0.1, "test": 0.4, "salt": "a"}).manifest
    fields = {"head": "topic", "snapshot": snapshot.snapshot_id, "kind": "mlp", "hidden": [16], "epochs": 5, "seed": 7}
    trained = train(open_task(shop.warehouse, head_spec(fields), snapshot), lambda _: None)
    graph, domain = graphs_of(trained)
    session = HeadSession(manifest_of(trained).sealed(graph, domain), graph, domain)

    task = trained_on(shop.warehouse, session.manifest)

    of_spec = {"exclude": {"snapshot", "features"}}
    assert task.spec.model_dump(**of_spec) == trained.task.spec.model_dump(**of_spec)
    assert [each.metric for each in audit_membership(session, task)] == [STRONGER, LOSS, SHADOW]
    foreign = session.manifest.model_copy(update={"snapshot_id": None})
    with pytest.raises(UserError, match="was trained elsewhere, so its members are not known"):
        trained_on(shop.warehouse, foreign)
