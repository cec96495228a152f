"""Learning an adapter: which map is chosen, that a bad one is refused, and that the same pairs give the same one."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.catalogue import lookup
from encoders.spec import Vector
from rawless.errors import UserError
from rawless.lifecycle import adapter_fit
from rawless.lifecycle.adapter_choice import SHUFFLED, UNADAPTED, Judge, learn, refuse, tolerance
from rawless.lifecycle.adapter_fit import Pairs, Settings, fit, fit_steps
from rawless.lifecycle.native_neighbours import NativeNeighbours, unit
from rawless.lifecycle.paired_vectors import PairedVectors

SPEC = lookup("minilm@1.0.0")
TARGET = SPEC.model_copy(update={"version": "2.0.0"})
ROWS, SIZE = 600, 12
numbers = np.random.default_rng(5)
FIRST: Vector = unit(numbers.standard_normal((ROWS, SIZE)).astype(np.float32))
ROTATION, _ = np.linalg.qr(numbers.standard_normal((SIZE, SIZE)))


@pytest.fixture
def _short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_fit, "_MOST_STEPS", 150)
    monkeypatch.setattr(adapter_fit, "HIDDEN", 64)


def paired(second: Vector, first: Vector = FIRST, persons: int | None = None) -> PairedVectors:
    ids = tuple(f"e-{number}" for number in range(len(first)))
    keys = tuple(None if persons is None else f"p-{number % persons}" for number in range(len(first)))
    return PairedVectors("upload", ids, keys, first, second.astype(np.float32))


def curved(first: Vector) -> Vector:
    """Vectors that no affine map reaches: it would take a hidden layer."""
    return np.abs(first @ ROTATION).astype(np.float32) - np.float32(0.2)


def test_a_rotation_is_found_by_an_orthogonal_map_from_either_side() -> None:
    for first, second in ((FIRST, FIRST @ ROTATION), (unit(FIRST @ ROTATION), FIRST)):
        learned = learn(paired(second, first.astype(np.float32)), ["orthogonal"], l2_normalise=True)
        weight = learned.chosen.adapter.weight
        assert learned.chosen.recall.value > 0.99
        assert weight @ weight.T == pytest.approx(np.eye(SIZE), abs=1e-2)
        assert learned.controls[UNADAPTED].value < 0.2
        refuse(learned, SPEC, TARGET, 0.9)


@pytest.mark.usefixtures("_short_training")
def test_the_kind_is_the_best_on_validation_and_never_below_those_of_the_paper() -> None:
    pairs = paired(curved(FIRST))
    learned = learn(pairs, ["orthogonal", "affine", "low_rank_affine", "residual_mlp"], l2_normalise=False)
    by_kind = {each.settings.kind: each for each in learned.kinds}
    assert learned.chosen is by_kind["residual_mlp"]
    assert learned.chosen.validation == max(each.validation for each in learned.kinds)
    judge = Judge(pairs, l2_normalise=False)
    papers = [
        judge.best([Settings("orthogonal", centred=False)]),
        judge.best([Settings("low_rank_affine", rank=SIZE // 2)]),
        judge.best([Settings("residual_mlp", start="identity")]),
    ]
    assert learned.chosen.recall.value >= max(each.recall.value for each in papers)
    assert learned.chosen.recall.low <= learned.chosen.recall.value <= learned.chosen.recall.high


def test_pairs_of_different_events_are_refused_by_their_own_validation() -> None:
    second = (FIRST @ ROTATION)[numbers.permutation(ROWS)]
    learned = learn(paired(second), ["orthogonal", "affine"], l2_normalise=True)
    with pytest.raises(UserError, match=rf"is refused: its recall@10 is 0\.0.*({UNADAPTED}|{SHUFFLED}) reach 0\.0"):
        refuse(learned, SPEC, TARGET, 0.0)


def test_an_adapter_that_adds_nothing_to_vectors_as_they_are_is_refused() -> None:
    learned = learn(paired(FIRST), ["orthogonal"], l2_normalise=True)
    with pytest.raises(UserError, match=r"vectors as they are reach 1\.000"):
        refuse(learned, SPEC, TARGET, 0.9)


def test_a_recall_below_what_is_wanted_is_refused_with_the_figures() -> None:
    noisy = FIRST @ ROTATION + numbers.standard_normal((ROWS, SIZE)) * 0.1
    learned = learn(paired(noisy), ["affine"], l2_normalise=True)
    with pytest.raises(UserError, match=r"recall@10 is 0\.\d+ \(0\.\d+ to 0\.\d+\), but --min-recall is 0\.9"):
        refuse(learned, SPEC, TARGET, 0.9)
    refuse(learned, SPEC, TARGET, 0.3)


def test_too_few_events_or_persons_are_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(UserError, match=r"499 events of upload have vectors of both encoders.*needs 500 events of 50"):
        learn(paired(FIRST[:499], FIRST[:499]), ["affine"], l2_normalise=True)
    with pytest.raises(UserError, match="of 49 persons"):
        learn(paired(FIRST, persons=49), ["affine"], l2_normalise=True)


def test_a_split_of_too_few_events_is_refused() -> None:
    """Nearly all events are of one person, so that those of all others together are few."""
    keys = tuple("p-0" if number >= 50 else f"p-{number}" for number in range(ROWS))
    pairs = replace(paired(FIRST @ ROTATION), subject_keys=keys)
    with pytest.raises(UserError, match=r"A split by persons has \d+ events of upload only.* needs 20 in each"):
        learn(pairs, ["orthogonal"], l2_normalise=True)


def test_the_events_of_a_person_are_in_one_split() -> None:
    pairs = paired(FIRST, persons=60)
    learned = learn(pairs, ["orthogonal"], l2_normalise=True)
    fitted = {key for key, event in zip(pairs.subject_keys, pairs.event_ids, strict=True) if event in learned.fitted_to}
    tested = {
        key for key, event in zip(pairs.subject_keys, pairs.event_ids, strict=True) if event not in learned.fitted_to
    }
    assert not fitted & tested
    assert len(tested) > 5
    assert sum(learned.events.values()) == ROWS == learned.events["test"] + len(learned.fitted_to)


@pytest.mark.usefixtures("_short_training")
def test_the_same_pairs_give_the_same_map() -> None:
    train, validation = (Pairs(each, curved(each), l2_normalise=False) for each in (FIRST[:400], FIRST[400:]))
    (one, steps), (other, again) = (
        fit_steps(Settings("residual_mlp", start="affine"), train, validation) for _ in "ab"
    )
    assert steps == again
    assert steps.steps
    assert all(np.array_equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    assert np.array_equal(fit(steps, train).apply(FIRST), one.apply(FIRST))


def test_a_low_rank_map_is_the_best_of_its_rank_and_scaling_is_least_squares() -> None:
    second = (FIRST @ ROTATION * np.linspace(0.1, 2, SIZE) + 0.3).astype(np.float32)
    pairs = Pairs(FIRST, second, l2_normalise=False)
    low = fit(Settings("low_rank_affine", rank=4), pairs)
    assert np.linalg.matrix_rank(low.weight, tol=1e-4) == 4
    centred = second - second.mean(axis=0)
    best = np.linalg.svd(centred, compute_uv=False)[4:]  # what no map of rank 4 explains (Eckart and Young, 1936)
    assert ((low.apply(FIRST) - second) ** 2).sum() == pytest.approx((best**2).sum(), rel=1e-3)
    plain, scaled = (fit(Settings("orthogonal", scaled=scaled), pairs) for scaled in (False, True))
    rest = scaled.apply(FIRST) - second
    assert (rest * plain.apply(FIRST)).sum(axis=0) == pytest.approx(0, abs=1e-2)
    assert (rest**2).sum() < ((plain.apply(FIRST) - second) ** 2).sum()


def test_maps_between_other_dimensions_are_learned() -> None:
    for first, second in ((FIRST, FIRST[:, :7] * 2), (FIRST[:, :7].copy(), FIRST)):
        learned = learn(paired(second, first), ["orthogonal", "low_rank_affine"], l2_normalise=False)
        assert all(each.adapter.weight.shape == (second.shape[1], first.shape[1]) for each in learned.kinds)


def test_neighbours_are_those_by_cosine_without_the_query_itself() -> None:
    queries = np.arange(5)
    neighbours = NativeNeighbours(FIRST * np.linspace(1, 9, ROWS, dtype=np.float32)[:, None], queries)
    similarities = unit(FIRST) @ unit(FIRST).T
    np.fill_diagonal(similarities, -2)
    expected = np.argsort(-similarities[:5], axis=1)[:, :10]
    other = FIRST[[7, 7, 7, 7, 7]]
    near = [set(np.argsort(-np.where(np.arange(ROWS) == row, -2, similarities[7] + (np.arange(ROWS) == 7) * 3))[:10])
            for row in queries]  # fmt: skip
    assert neighbours.found(FIRST[:5]).tolist() == [1.0] * 5
    assert neighbours.found(other).tolist() == [len(set(a) & b) / 10 for a, b in zip(expected, near, strict=True)]


def test_of_events_with_the_same_content_any_is_a_neighbour() -> None:
    contents = numbers.permutation(np.repeat(np.arange(ROWS // 30), 30))
    neighbours = NativeNeighbours(FIRST[contents], np.arange(100))
    assert neighbours.found(FIRST[contents[:100]] + np.float32(0.05)).tolist() == [1.0] * 100


def test_the_tolerance_grows_with_what_a_map_does_to_errors() -> None:
    learned = learn(paired(FIRST @ ROTATION), ["orthogonal"], l2_normalise=True)
    assert SPEC.tolerance <= tolerance(learned.chosen.adapter, SPEC, FIRST) <= 5 * SPEC.tolerance
    larger = replace(learned.chosen.adapter, weight=learned.chosen.adapter.weight * 100, l2_normalise=False)
    assert 50 * SPEC.tolerance < tolerance(larger, SPEC, FIRST) < 1000 * SPEC.tolerance
