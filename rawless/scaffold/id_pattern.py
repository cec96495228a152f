r"""A pattern that ids of events match, as narrow as their form tells, such as `msg-\d{4}`."""

import re
from collections.abc import Sequence

from rawless.events.patterns import explain_bad_pattern, matches
from rawless.events.stream import MAX_ID_LENGTH

UUID, ULID = "uuid", "ulid"
_FORMS = {
    UUID: re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    ULID: re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}"),
}
_ALLOWED = re.compile(r"[A-Za-z0-9_.:/+-]+")
_RUNS = re.compile(r"\d+|[A-Za-z]+|[^A-Za-z\d]")
_LONGEST_LITERAL = 12


def id_pattern(ids: Sequence[str]) -> str | None:
    """Return `uuid`, `ulid` or a regular expression that all ids match; None if they cannot be ids of events.

    Letters that all ids share are kept if they are few; everything else is described by its form only.
    """
    if not ids or not all(len(each) <= MAX_ID_LENGTH and _ALLOWED.fullmatch(each) for each in ids):
        return None
    for name, form in _FORMS.items():
        if all(form.fullmatch(each) for each in ids):
            return name
    pattern = _by_runs([_RUNS.findall(each) for each in ids]) or _by_length(ids)
    return pattern if explain_bad_pattern(pattern) is None and all(matches(pattern, each) for each in ids) else None


def _by_runs(split: Sequence[Sequence[str]]) -> str | None:
    """Return the pattern of ids of the same kinds of runs: digits, letters, and single other characters."""
    shapes = {tuple(_kind(run) for run in runs) for runs in split}
    if len(shapes) != 1:
        return None
    return "".join(_of_runs(runs) for runs in zip(*split, strict=True))


def _kind(run: str) -> str:
    return r"\d" if run[0].isdigit() else "[A-Za-z]" if run[0].isalpha() else run


def _of_runs(runs: Sequence[str]) -> str:
    same = runs[0] if len(set(runs)) == 1 else None
    if same is not None and len(same) <= _LONGEST_LITERAL and not same[0].isdigit():
        return f"\\{same}" if same in ".+" else same
    shortest, longest = min(map(len, runs)), max(map(len, runs))
    return f"{_kind(runs[0])}{{{shortest}}}" if shortest == longest else f"{_kind(runs[0])}{{{shortest},{longest}}}"


def _by_length(ids: Sequence[str]) -> str:
    others = "".join(sorted({character for each in ids for character in each if not character.isalnum()} - {"-"}))
    hyphen = "-" if any("-" in each for each in ids) else ""
    return f"[A-Za-z0-9{others}{hyphen}]{{{min(map(len, ids))},{max(map(len, ids))}}}"
