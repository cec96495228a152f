"""Measures of two spaces: what a rotation, a copy, noise and unrelated vectors show, and how sure that is."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial import procrustes

from rawless.errors import UserError
from rawless.lifecycle.paired_vectors import PairedVectors
from rawless.lifecycle.space_measures import CKA, OVERLAP, RESIDUAL, SpaceMeasures, measure

Array = npt.NDArray[np.float64]
ROWS, DIMENSION = 400, 12
RNG = np.random.default_rng(0)
X: Array = RNG.standard_normal((ROWS, DIMENSION)) * np.linspace(3, 0.3, DIMENSION) + 0.5
TURN: Array = np.linalg.qr(RNG.standard_normal((DIMENSION, DIMENSION)))[0]
NOISE: Array = RNG.standard_normal((ROWS, DIMENSION))


def measured(x: Array, y: Array, persons: tuple[str | None, ...] | None = None, k: int = 10) -> SpaceMeasures:
    ids = tuple(f"e-{number}" for number in range(len(x)))
    keys = persons or (None,) * len(x)
    return measure(PairedVectors("upload", ids, keys, x.astype(np.float32), y.astype(np.float32)), k)


def test_a_rotation_keeps_neighbours_and_geometry_and_is_recognised() -> None:
    found = measured(X, 2 * X @ TURN)

    assert found.of_pair(OVERLAP)[1:] == (1, 1, 1)
    assert found.of_pair(CKA)[1:] == pytest.approx((1, 1, 1))
    assert found.of_pair(RESIDUAL)[1:] == pytest.approx((0, 0, 0), abs=1e-9)
    assert (found.is_rotation, found.is_same) == (True, False)
    assert found.moved[0].nearer == 0
    padded = measured(X, np.pad(X, ((0, 0), (0, 3))) @ np.linalg.qr(RNG.standard_normal((15, 15)))[0])
    assert padded.of_pair(RESIDUAL).value == pytest.approx(0, abs=1e-9)
    assert padded.is_rotation


def test_the_same_vectors_are_no_rotation_and_repeated_ones_keep_their_neighbours() -> None:
    assert measured(X, X).is_same
    assert not measured(X, 2 * X).is_same
    repeated = np.tile(X[:20], (20, 1))
    assert measured(repeated, repeated @ TURN).of_pair(OVERLAP).value == 1


def test_the_values_are_those_of_the_definitions() -> None:
    y = X @ TURN + NOISE
    found = measured(X, y, k=3)

    x32, y32 = (side.astype(np.float32).astype(np.float64) for side in (X, y))
    cosines = [side @ side.T for side in (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x32, y32))]
    nearest = [np.argsort(-(each - 9 * np.eye(ROWS)), axis=1)[:, :3] for each in cosines]
    overlap = np.mean([len({*a} & {*b}) / 3 for a, b in zip(*nearest, strict=True)])
    a, b = (side - side.mean(0) for side in (x32, y32))
    cka = np.linalg.norm(a.T @ b) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    # scipy's procrustes centres both sides; sides that are centred already are compared with it
    _, _, disparity = procrustes(a, b)
    eigenvalues = np.linalg.eigvalsh(a.T @ a)
    of_two = cosines[0][~np.eye(ROWS, dtype=bool)].mean()
    alone = {each.name: each for each in found.alone}

    moved = found.moved[0]
    nearer = cosines[1][moved.event] > cosines[1][moved.event, moved.neighbour]

    assert found.of_pair(OVERLAP).value == pytest.approx(overlap)
    assert moved.neighbour == nearest[0][moved.event, 0]
    assert moved.nearer == nearer.sum() - 1  # an event is no neighbour of itself
    assert moved.nearer == max(each.nearer for each in found.moved)
    assert found.of_pair(CKA).value == pytest.approx(cka)
    assert measured(a, b).of_pair(RESIDUAL).value == pytest.approx(disparity, abs=1e-6)
    assert alone["effective dimension"].first.value == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
    assert measured(NOISE, np.concatenate((NOISE[:200], -NOISE[:200]))).alone[0].second.low < 0  # opposite directions
    assert alone["mean norm"].second.value == pytest.approx(np.linalg.norm(y32, axis=1).mean())
    assert alone["deviation of norms"].second.value == pytest.approx(np.linalg.norm(y32, axis=1).std(), rel=1e-5)
    assert alone["mean cosine of two events"].first.value == pytest.approx(of_two, rel=1e-5)


def test_unrelated_vectors_show_what_is_said_of_unrelated_ones() -> None:
    found = measured(X, NOISE)

    for each in found.pairs:
        assert each.measure.value == pytest.approx(each.unrelated, abs=0.03)
    assert not found.is_rotation


def test_intervals_contain_the_true_value_and_are_wider_for_rows_of_few_persons() -> None:
    hits, rng = 0, np.random.default_rng(1)
    truth = {CKA: np.sqrt(99 / 133), RESIDUAL: 1 - 15 / 19}  # of the covariances diag(9, 4, 1, 1), and of them plus one

    def drawn(rows: int) -> tuple[Array, Array]:
        x = rng.standard_normal((rows, 4)) * [3, 2, 1, 1]
        return x, x + rng.standard_normal((rows, 4))

    for _ in range(15):
        found = measured(*drawn(500), k=1)
        hits += sum(found.of_pair(name).low <= value <= found.of_pair(name).high for name, value in truth.items())
    assert hits >= 25
    x, y = (np.repeat(side, 10, axis=0) for side in drawn(50))
    alone, grouped = measured(x, y), measured(x, y, tuple(f"p-{number // 10}" for number in range(500)))
    assert (alone.persons, grouped.persons) == (500, 50)
    for name in (OVERLAP, *truth):
        wide, narrow = grouped.of_pair(name), alone.of_pair(name)
        assert wide.high - wide.low >= narrow.high - narrow.low


def test_too_few_events_are_refused() -> None:
    with pytest.raises(UserError, match=r"^11 events of upload .* too few for 10 neighbours of each"):
        measured(X[:11], X[:11])
