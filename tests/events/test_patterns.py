"""Patterns match neither free text nor slowly."""

import itertools
import math
import re
import string
import time

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from rawless.events.patterns import explain_bad_pattern, information, matches

ORDINARY = [
    r"[A-Za-z0-9_-]{1,64}",
    r"\d+\.\d+\.\d+",
    r"\d{4}-\d\d",
    r"\w+",
    r"[\w.-]{1,32}",
    r"v\d+(\.\d+)?",
    r"\d+(\.\d+){0,2}",
    r"\d{1,3}(\.\d{1,3}){3}",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"(chat|email|phone)",
    r"(?:ios|android)-\d{1,3}",
    r"[A-Z]{2}(-[A-Z]{2})?",
    r"order_[0-9]{1,12}",
    r"(?i)[a-f0-9]{32}",
    r"\.\*",
    r"",
]

FREE_TEXT = [
    r"[[:print:]]{1,32}",
    r"[[:^digit:]]{1,32}",
    r"[[:graph:][:space:]]+",
    r"[[:alpha:]]{1,8}",
    r".*",
    r".+",
    r".{1,32}",
    r"a.b",
    r"(?s).",
    r"(?s:.)*",
    r"[^a]",
    r"[^\n]{1,32}",
    r"[^,;]+",
    r"\S+",
    r"\S{1,32}",
    r"\s",
    r"\W",
    r"\D{1,9}",
    r"[\w\s]+",
    r"[\W\d]",
    r"[\S]",
    r"[a-z ]+",
    r"two words",
    "tab\tin it",
    "line\nin it",
    "\u00a0",
    "\u3000",
    r"\x20",
    r"[ -~]{1,32}",
    r"[\x00-\x7f]+",
    "[\u0430-\u044f]{1,32}",
    r"(chat|.*)",
    r"(?:(?:(?:.)))",
]

CATASTROPHIC_ELSEWHERE = [  # each takes a backtracking engine minutes on a value of 64 characters
    r"(a+)+",
    r"(a*)*",
    r"(\w+-?)+",
    r"([a-z]+)*x",
    r"(aa|aab?)+",
    r"(a|ab|b)*",
    r"(?:(?:ab)?)+",
    r"(?:a{1,9})+",
    r"(?:[a-z]+?)+?",
    r"((a+)b?)*",
    r"([a-z]+){1,8}",
    r"(?:\w+-?){1,16}",
    r"(?:[a-z]?){64}",
    r"(?:a?){30}a{30}",
    r"(?:a|aa){1,64}",
    r"\d+\d+\d+\d+\d+\d+\d+\d+",
    r"[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*",
]

NO_PATTERNS = [
    r"(?=.*)a",
    r"a(?!.*b)",
    r"(a)?(?(1).|b)",
    r"(?u:\w+)",
    r"[a-\uffff]{1,32}",
    r"(",
    r"[",
    r"a{2,1}",
    r"*",
    r"(?P<a>",
    r"\q",
    r"(?<=a+)b",
    r"a{1,999999999999}",
    "(" * 5000 + ")" * 5000,
]


@pytest.mark.parametrize("pattern", ORDINARY)
def test_an_ordinary_pattern_is_accepted(pattern: str) -> None:
    assert explain_bad_pattern(pattern) is None


@pytest.mark.parametrize("pattern", FREE_TEXT)
def test_a_pattern_that_matches_free_text_is_refused(pattern: str) -> None:
    assert str(explain_bad_pattern(pattern)).startswith("may match free text: ")


@pytest.mark.parametrize("pattern", CATASTROPHIC_ELSEWHERE)
@pytest.mark.parametrize("value", ["a" * 63 + "!", "1" * 63 + "!", "ab" * 31 + "!"])
def test_no_pattern_is_slow(pattern: str, value: str) -> None:
    assert explain_bad_pattern(pattern) is None
    start = time.process_time()
    assert not matches(pattern, value)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("pattern", NO_PATTERNS, ids=lambda pattern: pattern[:20])
def test_an_invalid_regular_expression_is_refused(pattern: str) -> None:
    assert explain_bad_pattern(pattern) == "is not a regular expression in RE2's syntax"


@pytest.mark.parametrize("pattern", [r"\d{,3}", r"[a-z]{,3}x", "a{,}"])
def test_a_pattern_that_python_and_re2_read_differently_is_refused(pattern: str) -> None:
    assert explain_bad_pattern(pattern) == (
        "may be read in two ways: write {0,9} instead of {,9}, and [{],9} for the characters"
    )


@given(st.text(alphabet=string.ascii_letters + string.digits + "_-", max_size=40))
def test_a_literal_is_accepted_and_matches_only_itself(text: str) -> None:
    assert explain_bad_pattern(re.escape(text)) is None
    assert matches(re.escape(text), text)
    assert not matches(re.escape(text), text + "x")


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # re's own, about sets like [[
@given(st.text(max_size=30))
def test_any_text_is_checked_without_an_exception(pattern: str) -> None:
    problem = explain_bad_pattern(pattern)
    assert problem is None or problem


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@given(st.text(alphabet=r"ab1.-\wdsS[]^(|)*+?{},:=!", max_size=20), st.sampled_from([" ", "\n", "é", "a b", "\u3000"]))
def test_no_accepted_pattern_matches_white_space_or_letters_of_any_script(pattern: str, text: str) -> None:
    if explain_bad_pattern(pattern) is None:
        assert not matches(pattern, text)


_classes = st.sampled_from([r"[a-z]", r"\d", r"\w", r"[A-Za-z0-9_-]", "a", r"[ab]", r"(?:ab)", r"(?:a|b)"])
_repeats = st.sampled_from(["", "+", "*", "?", "{1,8}", "{3}", "{1,64}", "+?"])
_simple = st.lists(st.builds("{}{}".format, _classes, _repeats), min_size=1, max_size=3).map("".join)


@given(_simple, st.sampled_from(["a", "ab", "1", "a-", "_"]), st.sampled_from(["", "!", " ", "\0"]))
def test_an_accepted_pattern_matches_a_hostile_value_quickly(pattern: str, piece: str, end: str) -> None:
    value = (piece * 64)[: 64 - len(end)] + end
    if explain_bad_pattern(pattern) is None:
        start = time.process_time()
        matches(pattern, value)
        assert time.process_time() - start < 1


_leaves = st.sampled_from(["a", "b", "0", "-", "[ab]", "[0-1]", r"\d", "a|b", "(?i:a)", ""])
_patterns = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds("({})({})".format, inner, inner),
        st.builds("({}|{})".format, inner, inner),
        st.builds("({}){}".format, inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}"])),
    ),
    max_leaves=5,
)


@given(_patterns)
def test_the_information_in_a_value_is_at_least_that_of_the_texts_that_match(pattern: str) -> None:
    texts = ("".join(text) for length in range(4) for text in itertools.product("aAb01-", repeat=length))
    matching = sum(matches(pattern, text) for text in texts)

    assert math.log2(matching or 1) <= information(pattern, 3) + 1e-9


@pytest.mark.parametrize(
    ("pattern", "longest", "bits"),
    [
        (r"msg-\d{4}", 128, math.log2(10_000)),
        (r"[0-9a-f]{8}", 32, 32.0),
        (r"(?i)ab", 32, 2.0),
        (r"abc|def", 32, 1.0),
        (r"\d*", 2, math.log2(111)),
        (r"(\d{1,100}){1,100}", 2, math.log2(111)),
        ("", 32, 0.0),
    ],
)
def test_the_information_of_ordinary_patterns(pattern: str, longest: int, bits: float) -> None:
    assert information(pattern, longest) == pytest.approx(bits)


@given(
    pattern=st.one_of(
        st.sampled_from(ORDINARY),
        st.lists(st.sampled_from([r"\d", r"[\w.]", "a", "[0-9a-c]", r"\."]), min_size=1, max_size=3).map("".join),
    ),
    repeat=st.sampled_from(["", "+", "{2}", "{1,3}", "*", "?", "+?"]),
    data=st.data(),
)
def test_a_pattern_matches_what_it_matches_in_re2(pattern: str, repeat: str, data: st.DataObject) -> None:
    pattern += repeat if pattern and pattern[-1] not in "}?+*" else ""
    value = data.draw(st.one_of(st.text(max_size=8), st.from_regex(pattern, fullmatch=True, alphabet=st.characters())))
    assert matches(pattern, value) == (value.isprintable() and re2.fullmatch(pattern, value) is not None)
