"""A classifier recognises vectors that are unlike those that it was trained on, and stores none of them."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from rawless.errors import UserError
from rawless.heads import artefact
from rawless.heads.domain import Domain, conformal_quantile, fit_domain
from rawless.heads.examples import Task
from rawless.heads.fit import predict
from rawless.heads.onnx_graph import to_onnx
from rawless.heads.publish import graphs_of, manifest_of
from rawless.heads.session import HeadSession, open_head
from rawless.heads.spec import head_spec
from rawless.heads.training import TrainedHead, train
from tests.heads.conftest import make_task

DIMENSION, ROWS = 12, 400
CLASSES = ("a", "b", "c", "d")
Array = npt.NDArray[Any]


def _draw(rows: int, classes: list[int], seed: int) -> tuple[Array, Array]:
    """Return vectors around the means of some of six classes, and their labels."""
    generator = np.random.default_rng(seed)
    means = np.random.default_rng(9).standard_normal((6, DIMENSION)) * 3
    labels = generator.choice(classes, rows)
    return (means[labels] + generator.standard_normal((rows, DIMENSION))).astype(np.float32), labels


VECTORS, LABELS = _draw(ROWS, [0, 1, 2, 3], seed=0)
UNKNOWN, _ = _draw(200, [4, 5], seed=1)
"""Vectors of classes that the head does not know."""


def _task(**spec: Any) -> Task:
    return make_task((VECTORS,), LABELS, CLASSES, **({"epochs": 1} | spec))


def _trained(**spec: Any) -> TrainedHead:
    return train(_task(**spec), lambda _: None)


@pytest.fixture(scope="module")
def trained() -> TrainedHead:
    return _trained()


@pytest.fixture(scope="module")
def folder(trained: TrainedHead, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that head; do not modify it."""
    folder = tmp_path_factory.mktemp("domain") / "head"
    _write(trained, folder)
    return folder


def _write(trained: TrainedHead, folder: Path) -> HeadSession:
    graph, domain = graphs_of(trained)
    artefact.write(folder, manifest_of(trained), graph, trained.evaluation, domain)
    return open_head(folder)


def _relative_mahalanobis(train: Array, labels: Array, vectors: Array) -> Array:
    """Return the distances as the paper defines them, with the ridge."""

    def precision(centred: Array) -> Array:
        covariance = centred.T @ centred / len(centred)
        return np.linalg.inv(covariance + 0.1 * np.trace(covariance) / len(covariance) * np.eye(len(covariance)))

    def squared(precision: Array, mean: Array) -> Array:
        return np.einsum("nd,de,ne->n", vectors - mean, precision, vectors - mean)

    means = np.stack([train[labels == label].mean(0) for label in np.unique(labels)])
    within = precision(train - means[labels])
    of_classes = np.min([squared(within, mean) for mean in means], axis=0)
    return np.asarray(of_classes - squared(precision(train - train.mean(0)), train.mean(0)))


def test_unknown_classes_are_out_of_domain_and_the_shares_are_as_chosen(trained: TrainedHead, folder: Path) -> None:
    head = open_head(folder)
    test = trained.task.splits["test"].rows.inputs[0].numpy()
    inside, outside = head.distances(test), head.distances(UNKNOWN)
    are_test, are_unknown = head.are_in_domain(test), head.are_in_domain(UNKNOWN)

    assert inside is not None
    assert outside is not None
    assert are_test is not None
    assert are_unknown is not None
    truth = np.arange(len(test) + len(UNKNOWN)) >= len(test)
    assert roc_auc_score(truth, np.concatenate((inside, outside))) > 0.95
    assert 0.85 < are_test.mean() <= 1
    assert are_unknown.mean() < 0.3
    assert trained.evaluation.abstention is not None
    assert trained.evaluation.abstention.value == pytest.approx(1 - are_test.mean())


def test_the_exported_distances_are_those_of_the_paper_for_any_batch_size(trained: TrainedHead, folder: Path) -> None:
    rows, head = trained.task.splits["train"].rows, open_head(folder)
    expected = _relative_mahalanobis(rows.inputs[0].double().numpy(), rows.labels.numpy(), UNKNOWN.astype(np.float64))

    np.testing.assert_allclose(head.distances(UNKNOWN), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(head.distances(UNKNOWN[:1]), expected[:1], rtol=1e-4, atol=1e-3)
    assert head.distances(UNKNOWN[:0]) is not None


@settings(max_examples=20)
@given(st.permutations(range(60)))
def test_the_distance_does_not_depend_on_the_order_of_the_training_rows(order: list[int]) -> None:
    vectors, labels = torch.from_numpy(VECTORS[:60]), torch.from_numpy(LABELS[:60])
    domain, shuffled = Domain(DIMENSION, 4), Domain(DIMENSION, 4)
    domain.fit(vectors, labels)
    shuffled.fit(vectors[order], labels[order])
    unknown = torch.from_numpy(UNKNOWN)

    np.testing.assert_allclose(predict(shuffled, [unknown]), predict(domain, [unknown]), rtol=1e-3, atol=1e-2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=19, max_size=200))
def test_at_most_the_chosen_share_of_validation_is_beyond_the_threshold(distances: list[float]) -> None:
    beyond = np.array(distances) > conformal_quantile(np.array(distances), 0.95)

    assert beyond.sum() <= 0.05 * (len(distances) + 1)


def test_a_class_of_few_persons_leaves_no_trace_in_the_domain() -> None:
    """The mean of one row is its vector."""
    many = np.arange(ROWS)
    rare = np.array([*LABELS[:238], 3, 3, *LABELS[240:]])
    rare[:238][LABELS[:238] == 3] = 0
    tasks = [make_task((VECTORS,), rare, CLASSES, persons=[f"p-{n}" for n in many])]
    changed = VECTORS.copy()
    changed[238:240] = 50.0
    tasks.append(make_task((changed,), rare, CLASSES, persons=[f"p-{n}" for n in many]))
    (first, warnings), (second, _) = map(fit_domain, tasks)

    assert first is not None
    assert second is not None
    assert all(torch.equal(one, other) for one, other in zip(first[0].buffers(), second[0].buffers(), strict=True))
    assert warnings == ("The domain of the head leaves out d, which have fewer than 5 persons in train.",)


def test_many_rows_of_four_persons_are_few() -> None:
    domain, warnings = fit_domain(make_task((VECTORS,), LABELS, CLASSES, persons=[f"p-{n % 4}" for n in range(ROWS)]))

    assert domain is None
    assert warnings[0].endswith("each class has fewer than 5 persons in train.")


def test_without_enough_validation_rows_training_warns_and_leaves_the_domain_out(tmp_path: Path) -> None:
    trained = _trained(domain={"quantile": 0.99})  # of 80 rows
    head = _write(trained, tmp_path / "head")

    assert (
        "The head has no domain, so it does not abstain from input that is unlike its training rows: for "
        "domain.quantile 0.99 validation needs 99 rows, and has 80." in trained.evaluation.warnings
    )
    assert trained.evaluation.abstention is None
    assert head.are_in_domain(UNKNOWN) is None
    assert not (tmp_path / "head" / "domain.onnx").exists()


def test_training_warns_where_test_is_unlike_train() -> None:
    drifted = np.concatenate((VECTORS[:320], VECTORS[320:] + 6))
    warned, silent = (
        train(make_task((vectors,), LABELS, CLASSES, epochs=1), lambda _: None).evaluation.warnings
        for vectors in (drifted, VECTORS)
    )

    assert any("of test is out of domain, but 0.05 of validation: test differs from train" in text for text in warned)
    assert not any("out of domain" in text for text in silent)


def test_a_head_file_can_leave_the_domain_out() -> None:
    assert fit_domain(_task(domain="none")) == (None, ())


def test_only_heads_of_classes_have_a_domain() -> None:
    assert fit_domain(make_task((VECTORS,), VECTORS.sum(1))) == (None, ())
    with pytest.raises(ValueError, match="domain belongs to kinds linear and mlp, not to pair"):
        head_spec({"head": "a", "snapshot": "a", "kind": "pair", "domain": {"quantile": 0.9}})
    numbers = make_task((VECTORS,), VECTORS.sum(1), domain={"quantile": 0.9})
    with pytest.raises(UserError, match=r"domain is given, but the labels of \w+ are numbers"):
        numbers.kind.check(numbers.spec, numbers.manifest)


@pytest.mark.parametrize("change", ["exchange", "truncate", "remove"])
def test_a_domain_that_was_changed_is_refused(folder: Path, tmp_path: Path, change: str) -> None:
    file = shutil.copytree(folder, tmp_path / "head") / "domain.onnx"
    if change == "exchange":
        file.write_bytes(to_onnx(Domain(DIMENSION, 4), DIMENSION).SerializeToString())
    elif change == "truncate":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()

    message = "has a domain, but domain.onnx cannot be read" if change == "remove" else "was changed after it was"
    with pytest.raises(UserError, match=message):
        open_head(tmp_path / "head")


def test_a_head_from_before_there_were_domains_still_loads(tmp_path: Path) -> None:
    trained = _trained(domain="none")
    _write(trained, tmp_path / "head")
    path = tmp_path / "head" / "manifest.json"
    fields = {name: value for name, value in json.loads(path.read_text()).items() if name not in ("domain", "digest")}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    graph = hashlib.sha256((tmp_path / "head" / "head.onnx").read_bytes()).digest()
    path.write_text(json.dumps(fields | {"digest": hashlib.sha256(graph + text.encode()).hexdigest()}))

    assert open_head(tmp_path / "head").are_in_domain(UNKNOWN) is None
