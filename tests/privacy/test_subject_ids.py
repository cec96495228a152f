"""One normal form for every spelling of a subject id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawless.errors import UserError
from rawless.privacy.subject_ids import MAX_SUBJECT_LENGTH, STEPS, Step, normal_form, parse_steps

forms = st.lists(st.sampled_from(STEPS), unique=True)


@given(st.text(max_size=20), forms)
def test_the_normal_form_of_a_normal_form_is_itself(subject_id: str, steps: list[Step]) -> None:
    normal = normal_form(subject_id, steps)
    assert normal is None or normal_form(normal, steps) == normal


@given(st.text(max_size=20), forms)
def test_the_order_of_the_steps_does_not_matter(subject_id: str, steps: list[Step]) -> None:
    assert normal_form(subject_id, steps) == normal_form(subject_id, steps[::-1])


@given(st.text(max_size=20), forms)
def test_no_normal_form_has_outer_blanks_or_unprintable_characters(subject_id: str, steps: list[Step]) -> None:
    normal = normal_form(subject_id, steps)
    assert normal is None or (normal != "" and normal.isprintable() and normal == normal.strip())


@pytest.mark.parametrize(
    ("steps", "same", "others"),
    [
        (("trim",), "a", {" a", "a ", "\ta\u3000"}),
        (("lower",), "a@x", {"A@x", "a@X"}),
        (("nfc",), "zo\u00eb", {"zoe\u0308"}),
        (("trim", "lower", "nfc"), "zo\u00eb", {" ZOE\u0308 "}),
    ],
)
def test_a_step_unites_spellings_that_differ_without_it(steps: tuple[Step, ...], same: str, others: set[str]) -> None:
    assert {normal_form(other, steps) for other in others} == {same}
    assert same not in {normal_form(other) for other in others}


def test_an_id_that_is_too_long_is_refused_before_it_is_normalised() -> None:
    assert normal_form("a" * MAX_SUBJECT_LENGTH) == "a" * MAX_SUBJECT_LENGTH
    assert normal_form("a" * MAX_SUBJECT_LENGTH + " ", STEPS) is None


def test_steps_are_parsed_or_refused() -> None:
    assert parse_steps("") == ()
    assert parse_steps("nfc,trim") == ("trim", "nfc")
    with pytest.raises(UserError, match="--subject-form names 'upper', but must be a list of trim, lower, nfc"):
        parse_steps("trim,upper")
