"""Each figure of a computed page says what it rests on."""

import pytest

from benchmarks.known import Basis, Known, least
from benchmarks.marked_table import Marked, both, mark, table

MEASURED, PUBLISHED, ASSUMED = (Known(8.0, basis) for basis in (Basis.MEASURED, Basis.PUBLISHED, Basis.ASSUMED))


@pytest.mark.parametrize(
    ("computed", "value", "basis"),
    [
        (MEASURED * 2, 16, Basis.MEASURED),
        (2 * MEASURED + PUBLISHED, 24, Basis.PUBLISHED),
        (PUBLISHED - MEASURED, 0, Basis.PUBLISHED),
        (4 / ASSUMED, 0.5, Basis.ASSUMED),
        (MEASURED / PUBLISHED * ASSUMED, 8, Basis.ASSUMED),
        ((MEASURED / 3).up(), 3, Basis.MEASURED),
    ],
)
def test_a_computed_figure_is_as_sure_as_its_least_sure_part(computed: Known, value: float, basis: Basis) -> None:
    assert (float(computed), computed.basis) == (value, basis)


def test_the_lowest_of_some_is_only_as_sure_as_all_of_them() -> None:
    assert least(Known(1.0, Basis.MEASURED), Known(2.0, Basis.ASSUMED)).basis is Basis.ASSUMED


def test_a_figure_is_written_with_its_mark() -> None:
    assert mark(Known(1234.5, Basis.MEASURED)) == "1,234ᵐ"
    assert both(mark(PUBLISHED), mark(ASSUMED, ",.2f")) == "8ᵖ · 8.00ᵃ"


def test_a_table_refuses_a_figure_that_does_not_say_what_it_rests_on() -> None:
    with pytest.raises(ValueError, match="'5', beside 'a T4', does not say what it rests on"):
        table(("worker", "events"), [("a T4", "5")])


def test_a_table_takes_marked_figures_words_and_labels() -> None:
    assert table(("worker", "events"), [("a T4", Marked("5ᵃ")), ("an L4", "none")]).splitlines()[2:] == [
        "| a T4 | 5ᵃ |",
        "| an L4 | none |",
    ]
