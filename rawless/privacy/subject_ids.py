"""The normal form of subject ids: the same person has one spelling before the id becomes a pseudonym."""

import unicodedata
from collections.abc import Sequence
from typing import Literal

from rawless.errors import UserError

Step = Literal["trim", "lower", "nfc"]
"""Remove outer blanks, ignore case, and compose characters (Unicode's normal form C)."""
STEPS: tuple[Step, ...] = ("trim", "lower", "nfc")
MAX_SUBJECT_LENGTH = 256
"""In characters, before normalisation."""


def parse_steps(text: str) -> tuple[Step, ...]:
    """Return the steps that a text such as "trim,lower" names. Raises UserError if it names others."""
    names = text.split(",") if text else []
    if unknown := [name for name in names if name not in STEPS]:
        raise UserError(
            f"--subject-form names {unknown[0]!r}, but must be a list of {', '.join(STEPS)}, such as trim,lower."
        )
    return tuple(step for step in STEPS if step in names)


def normal_form(subject_id: str, steps: Sequence[Step] = ()) -> str | None:
    """Return a subject id in the normal form that `steps` describe, or None if no event can carry it.

    An id is printable, at most `MAX_SUBJECT_LENGTH` characters long, and has no outer blanks unless they are trimmed.
    The order of the steps does not matter, and an id in its normal form stays as it is.
    """
    text = subject_id
    if len(text) > MAX_SUBJECT_LENGTH:
        return None
    if "trim" in steps:
        text = text.strip()
    if "lower" in steps:
        text = text.lower()
    if "nfc" in steps:
        text = unicodedata.normalize("NFC", text)
    return text if text and text.isprintable() and text == text.strip() else None
