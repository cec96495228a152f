"""What an erasure is asked to erase: persons by the ids in a file, or one event."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rawless.errors import UserError
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.privacy.subject_ids import Step, normal_form


@dataclass(frozen=True)
class Event:
    """One event to erase, whoever it is of."""

    stream: str
    event_id: str


@dataclass(frozen=True)
class Persons:
    """The persons to erase, by pairs of id and pseudonym. Ids are in memory and in one table of a load job only."""

    pseudonyms: frozenset[tuple[str, str]] = field(repr=False)
    count: int
    """The number of different ids."""


def read_persons(lines: Iterable[bytes], keys: Sequence[PseudonymKey], subject_form: Sequence[Step] = ()) -> Persons:
    """Read ids of persons, one a line, and return them with their pseudonyms under each key.

    Raises UserError, which names the line but not the id, for an id that no event can carry, and when there is none.
    """
    pairs: set[tuple[str, str]] = set()
    normal: set[str] = set()
    for given, subject_id in _ids(lines, subject_form):
        normal.add(subject_id)
        for key in keys:
            pairs |= {(each, key.pseudonym(subject_id)) for each in (given, subject_id)}
    if not pairs:
        raise UserError("There is no id in the file of subjects: write one a line.")
    return Persons(frozenset(pairs), len(normal))


def _ids(lines: Iterable[bytes], subject_form: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Yield each id as it is given and in its normal form. Blank lines are skipped."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise UserError(f"Line {number:,} of the file of subjects is not UTF-8; convert the file.") from None
        if not text.strip():
            continue
        subject_id = normal_form(text, subject_form)
        if subject_id is None:
            raise UserError(
                f"Line {number:,} of the file of subjects is no id that an event can carry: it is too long, not "
                "printable, or has outer blanks. Correct it, or name the ids' --subject-form as in the stream file."
            )
        yield text, subject_id
