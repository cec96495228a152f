"""What is drift and what is chance, on vectors that the tests draw."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rawless.errors import UserError
from rawless.lifecycle.drift import compare
from rawless.lifecycle.drift.compare import Finding, Reference, Window
from rawless.lifecycle.drift.frame import Array

ROWS, DIMENSION = 200, 8
Draw = Callable[[int], Array]


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "DRAWS", 1_000)


def plain(number: int, rows: int = ROWS) -> Array:
    return np.random.default_rng(number).standard_normal((rows, DIMENSION)) * np.linspace(3, 0.5, DIMENSION) + 5


def day(number: int, vectors: Array, **rejected: int) -> Window:
    at = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=number)
    norms = np.linalg.norm(vectors, axis=1)
    mean, norm = (vectors.mean(0), float(norms.mean())) if len(vectors) else (np.zeros(0), 0.0)
    square = float((norms**2).mean()) if len(vectors) else 0.0
    return Window(at, at + timedelta(days=1), len(vectors), mean, norm, square, vectors, rejected)


def reference(draw: Draw = plain, **rejected: int) -> Reference:
    return Reference([day(number, draw(number), **(rejected or {"empty_text": 4})) for number in range(14)])


def findings(base: Reference, vectors: Array, number: int = 14, **rejected: int) -> dict[str, Finding]:
    found = base.compare(day(number, vectors, **(rejected or {"empty_text": 4})))
    return {finding.metric: finding for finding in found}


def alarms(found: dict[str, Finding]) -> set[str]:
    return {code for code, finding in found.items() if finding.is_alarm}


def test_a_day_like_the_reference_is_no_alarm_and_measures_every_metric() -> None:
    found = findings(reference(), plain(99))

    assert alarms(found) == set()
    expected = ["mean_shift", "mmd", "psi", "far_share", "norm_mean", "norm_spread", "rejection_share", "volume"]
    assert list(found) == expected
    assert all(finding.p_value is None or finding.p_value > 0.01 for finding in found.values())


@pytest.mark.parametrize("place", [0, DIMENSION - 1])
def test_a_shift_of_the_mean_is_measured_in_standard_deviations_of_its_direction(place: int) -> None:
    shifted = plain(99) + 0.8 * np.eye(DIMENSION)[place] * np.linspace(3, 0.5, DIMENSION)
    found = findings(reference(), shifted)

    assert "mean_shift" in alarms(found)
    assert found["mean_shift"].value == pytest.approx(0.8, abs=0.15)
    assert found["mean_shift"].p_value == pytest.approx(1 / 1001)


def test_new_rows_far_from_all_others_are_found() -> None:
    vectors = plain(99)
    vectors[:20] = 12.0
    found = findings(reference(), vectors)

    assert {"far_share", "mean_shift"} <= alarms(found)
    assert 0.1 <= found["far_share"].value < 0.13


def test_of_rows_alike_one_in_a_hundred_is_far_also_with_many_dimensions() -> None:
    def wide(number: int) -> Array:
        return np.random.default_rng(number).standard_normal((ROWS, 100))

    found = findings(reference(wide), wide(99))["far_share"]
    assert found.value < 0.03
    assert found.threshold < 0.06


def test_other_norms_with_the_same_directions_are_found() -> None:
    assert {"norm_mean", "norm_spread"} <= alarms(findings(reference(), 1.5 * plain(99)))


def test_vectors_of_one_length_and_constant_coordinates_are_compared() -> None:
    def unit(number: int) -> Array:
        vectors = plain(number)
        vectors[:, 3] = 0
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    base = reference(unit)
    assert alarms(findings(base, unit(99))) == set()
    assert {"norm_mean", "mean_shift"} <= alarms(findings(base, plain(99)))


def test_habits_of_the_reference_are_no_alarm() -> None:
    """At weekends other content arrives; a reference of workdays alone would call it drift."""

    def weekly(number: int) -> Array:
        return plain(number) + (1.5 if number % 7 >= 5 else 0) * np.eye(DIMENSION)[0]

    base = reference(weekly)
    assert "mean_shift" not in alarms(findings(base, weekly(19), number=19))
    assert "mean_shift" in alarms(findings(base, plain(99) + 6 * np.eye(DIMENSION)[0], number=16))
    workdays = Reference([day(number, weekly(number)) for number in range(14) if number % 7 < 5])
    assert "mean_shift" in alarms(findings(workdays, weekly(19), number=19))


def test_twice_as_many_rejections_and_another_mix_of_reasons_are_found() -> None:
    base = reference(empty_text=15, invalid_utf8=5)

    assert alarms(findings(base, plain(99), empty_text=33, invalid_utf8=11)) == {"rejection_share"}
    assert alarms(findings(base, plain(97), empty_text=2, invalid_utf8=20)) == {"rejection_mix"}
    assert findings(base, plain(99), empty_text=33)["rejection_share"].value == 33 / 233


def test_the_volume_is_compared_with_the_same_day_of_the_week() -> None:
    def weekly(number: int) -> Array:
        return plain(number, 60 if number % 7 >= 5 else ROWS)

    base = Reference([day(number, weekly(number)) for number in range(28)])
    assert "volume" not in alarms(findings(base, plain(99, 60), number=33))
    assert "volume" in alarms(findings(base, plain(99, 60), number=30))
    assert "volume" in alarms(findings(base, plain(99, 0), number=30))


def test_a_day_without_rows_is_no_alarm_where_such_days_are_usual() -> None:
    base = Reference([day(number, plain(number, ROWS if number % 2 else 0)) for number in range(14)])
    assert alarms(findings(base, plain(99, 0), number=15, empty_text=0)) == set()


def test_a_reference_of_windows_with_one_row_each_is_compared() -> None:
    base = Reference([day(number, plain(number, 1)) for number in range(250)])
    assert "mean_shift" in findings(base, plain(300), 300)


def test_few_rows_are_not_compared_and_a_reference_of_few_is_refused() -> None:
    assert list(findings(reference(), plain(99, 10))) == ["volume"]
    with pytest.raises(UserError, match="The reference has 100 rows, but at least 200 are needed"):
        Reference([day(0, plain(0, 100))])


def test_the_same_rows_give_the_same_findings() -> None:
    assert findings(reference(), plain(99)) == findings(reference(), plain(99))
