"""`Proposal`: which columns of a file are what, as far as their names and forms tell."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rawless.errors import UserError
from rawless.events.messages import FIELDS
from rawless.scaffold.facts import Facts
from rawless.similar_names import did_you_mean

Role = Literal["content", "id", "time", "subject", "label"]
_NAMES: dict[Role, tuple[str, ...]] = {
    "content": ("text", "uri", "payload_base64", "message", "body", "content", "comment", "review", "sentence",
                "utterance", "description", "question", "query", "file", "path", "image", "filename", "file_name",
                "image_path"),
    "id": ("event_id", "id", "uuid", "message_id", "ticket_id", "row_id", "index"),
    "time": ("occurred_at", "created_at", "timestamp", "time", "datetime", "sent_at", "received_at", "date",
             "changed_at"),
    "subject": ("subject_id", "customer_id", "customer", "user_id", "user", "person_id", "patient_id", "client_id",
                "account_id", "member_id", "author_id", "author"),
    "label": ("label", "labels", "class", "category", "topic", "target", "intent", "sentiment", "y"),
}  # fmt: skip
"""The names that a column of each role often has, the likeliest first."""
_ROLES_IN_ORDER: tuple[Role, ...] = ("id", "time", "subject", "label")
RULES: dict[Role, str] = {
    "content": "texts, or names of images",
    "id": "ids without blanks, each in one row",
    "time": "times or dates, as in 2026-03-01T12:00:00Z",
    "subject": "ids of at most 256 printable characters, without outer blanks",
    "label": "2 to 1,000 different values, each in two rows on average, with different names of letters, digits, _, . "
    "and -",
}


@dataclass(frozen=True)
class Proposal:
    """The columns of a file by their role; None where there is none."""

    content: str
    id: str | None = None
    time: str | None = None
    subject: str | None = None
    label: str | None = None
    attributes: tuple[str, ...] = ()
    """Columns with few plain values, which are stored beside the embedding."""


def fits(role: Role, facts: Facts) -> bool:
    """Return whether a column can have a role."""
    rules: dict[Role, Callable[[Facts], bool]] = {
        "content": lambda each: each.type == "STRING" and each.distinct > 0,
        "id": lambda each: each.id_pattern is not None and each.is_unique and not each.is_time,
        "time": lambda each: each.is_time,
        "subject": lambda each: each.are_subjects and not each.is_time and not each.is_free_text,
        "label": lambda each: bool(each.classes),
    }
    return rules[role](facts)


def propose(
    columns: Mapping[str, Facts],
    named: Mapping[Role, str | None],
    tells_label: Callable[[str, str], bool] = lambda *_: False,
) -> Proposal:
    """Return what the columns seem to be, apart from those that the user has named.

    A column whose value alone tells the label, as `tells_label` says, is no attribute. Raises UserError if no column
    can be the content.
    """
    content = named.get("content") or _content(columns)
    left = {name: each for name, each in columns.items() if name not in (content, *named.values())}
    found: dict[Role, str | None] = {}
    for role in _ROLES_IN_ORDER:
        found[role] = named[role] if role in named else _column(role, left)
        left.pop(found[role] or "", None)
    proposal = Proposal(content, found["id"], found["time"], found["subject"], found["label"])
    able = (name for name in left if may_be_attribute(columns[name]))
    label = proposal.label
    return replace(proposal, attributes=tuple(name for name in able if not (label and tells_label(name, label))))


def _content(columns: Mapping[str, Facts]) -> str:
    found = _named("content", columns, lambda each: each.is_free_text or each.are_images) or _longest(columns)
    if found is None:
        raise UserError(
            "No column has content: texts of several words, or names of images. Name the column by --content COLUMN."
        )
    return found


def _column(role: Role, columns: Mapping[str, Facts]) -> str | None:
    """Return the column of a role by its name, or the only one with times, or with numbered ids."""
    only: list[str] = []
    if role == "time":
        only = [name for name, each in columns.items() if fits("time", each)]
    elif role == "id":
        only = [name for name, each in columns.items() if fits("id", each) and _is_numbered(each)]
    found = _named(role, columns, lambda each: role != "label" or not each.has_rare_values)
    return found or (only[0] if len(only) == 1 else None)


def with_rare_classes(columns: Mapping[str, Facts]) -> str | None:
    """Return the column that is named like a label and has values that are too rare to become classes unasked."""
    found = _named("label", columns)
    return found if found and columns[found].has_rare_values else None


def _is_numbered(facts: Facts) -> bool:
    """Return whether ids have a number in a fixed form, which names of persons have not."""
    if is_named_like_time(facts):
        return False
    return facts.type in ("STRING", "INT64") and bool(re.search(r"uuid|ulid|\\d\{", facts.id_pattern or ""))


def is_named_like_time(facts: Facts) -> bool:
    """Return whether the name of a column says that it contains times."""
    return facts.name.lower() in _NAMES["time"]


def describe(proposal: Proposal, columns: Mapping[str, Facts]) -> str:
    """Return a sentence that says which column is what; it contains no values."""
    classes = f", {len(columns[proposal.label].classes):,} classes" if proposal.label else ""
    parts = [
        f"content {proposal.content}",
        f"id {proposal.id}" if proposal.id else "no ids",
        f"time {proposal.time}" if proposal.time else "no times",
        f"person {proposal.subject}" if proposal.subject else "no persons",
        f"label {proposal.label}{classes}" if proposal.label else "no label",
        f"attributes {', '.join(proposal.attributes)}" if proposal.attributes else "no attributes",
    ]
    return f"The columns are taken as: {'; '.join(parts)}."


def may_be_attribute(facts: Facts) -> bool:
    """Return whether a column may be stored beside the embedding."""
    return bool(facts.values) and facts.name not in FIELDS and facts.name.isidentifier() and facts.name.islower()


def check_role(role: Role, name: str, columns: Mapping[str, Facts], option: str) -> str:
    """Return the column that a user named for a role. Raises UserError if there is none, or it does not fit."""
    if name not in columns:
        raise UserError(
            f"{option} names {name!r}, which is no column{did_you_mean(name, columns)}: there are {', '.join(columns)}."
        )
    if not fits(role, columns[name]):
        raise UserError(f"{option} names {name}, but its values are not {RULES[role]}: name another column.")
    return name


def check_attributes(names: Sequence[str], columns: Mapping[str, Facts]) -> tuple[str, ...]:
    """Return the names of columns that a user wants to store. Raises UserError for one that may not be."""
    for name in names:
        if name not in columns:
            raise UserError(
                f"--attribute names {name!r}, which is no column{did_you_mean(name, columns)}: there are "
                f"{', '.join(columns)}."
            )
        if not may_be_attribute(columns[name]):
            raise UserError(
                f"--attribute names {name}, but an attribute has a name in lower case and 2 to 20 different plain "
                "values of at most 32 characters, each in at least 5 rows: leave it out, or add it to the stream file "
                "by hand with a pattern."
            )
    return tuple(dict.fromkeys(names))


def _named(role: Role, columns: Mapping[str, Facts], also: Callable[[Facts], bool] = lambda _: True) -> str | None:
    by_lower = {name.lower(): each for name, each in columns.items()}
    found = (by_lower[name] for name in _NAMES[role] if name in by_lower)
    return next((each.name for each in found if fits(role, each) and also(each)), None)


def _longest(columns: Mapping[str, Facts]) -> str | None:
    """Return the column with the most different texts or names of images."""
    able = [each for each in columns.values() if fits("content", each) and (each.is_free_text or each.are_images)]
    return max(able, key=lambda each: each.distinct).name if able else None
