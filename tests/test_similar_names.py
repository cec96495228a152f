"""What a user probably meant."""

import pytest

from rawless.similar_names import SURE, did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "clause"),
    [
        ("occured_at", ["occurred_at", "logged_at"], " (did you mean occurred_at?)"),
        ("TOPIC", ["Topic", "time"], " (did you mean Topic?)"),
        ("parcel", ["topic", "time"], ""),
        ("anything", [], ""),
    ],
)
def test_a_similar_name_is_found_whatever_its_case(name: str, known: list[str], clause: str) -> None:
    assert did_you_mean(name, known) == clause


def test_a_name_that_is_just_alike_is_no_misspelling() -> None:
    assert did_you_mean("RAND", ["RANK"], SURE) == ""
    assert did_you_mean("LENGHT", ["LENGTH"], SURE) == " (did you mean LENGTH?)"
