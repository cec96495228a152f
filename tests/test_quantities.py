"""Numbers as people read them."""

import pytest

from rawless.quantities import counted, format_bytes


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1 KB"),
        (12_340_000, "12.3 MB"),
        (999_400_000, "999 MB"),
        (999_600_000, "1 GB"),
        (1_500_000_000, "1.5 GB"),
        (3_200_000_000_000_000, "3,200 TB"),
    ],
)
def test_bytes_have_three_digits_and_no_exponent(size: int, said: str) -> None:
    assert format_bytes(size) == said


def test_a_noun_agrees_with_its_number() -> None:
    assert [counted(count, "row") for count in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]
