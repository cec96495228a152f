"""One leakage audit: read records, encode them, attack the vectors, and record what was found."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from encoders.encoder import Encoder
from encoders.spec import EncoderSpec
from rawless.audit.leakage.attack import Measure, measure, within_boundary
from rawless.audit.leakage.attacks import Setting, Side, attacks_for
from rawless.audit.leakage.records import Record, Records
from rawless.audit.leakage.table import write_measures
from rawless.audit.leakage.vectors import Release, vectors_of
from rawless.audit.leakage.words import shared_words
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.privacy import Reason, guarded
from rawless.warehouse.client import Warehouse

FEWEST_ROWS = 200
ENOUGH_ROWS = 3_000
"""With fewer contents an attacker learns less than he could, so that a low value says little."""
FEWEST_WORDS = 10
PER_ATTACKED = 10
"""Auxiliary records for each attacked one."""
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Limited:
    """A measure, and the limit that a stream has for its metric."""

    measure: Measure
    allowed_max: float | None

    @property
    def passes(self) -> bool | None:
        """Whether the whole interval is within the limit; None without one."""
        return None if self.allowed_max is None else self.measure.high <= self.allowed_max


def check_attributes(names: Sequence[str], records: Records, option: str) -> None:
    """Raise UserError unless each attribute has a name that a metric may contain, and two values in the records."""
    for name in names:
        if not _ATTRIBUTE.fullmatch(name):
            raise UserError(
                f"--attribute is {name!r}, but must be at most 40 lower-case letters, digits and _, and begin with a "
                "letter: rename the column."
            )
        counts = guarded(_values, records.chosen, name)
        found = 0 if isinstance(counts, Reason) else len(counts)
        if found < 2:
            raise UserError(
                f"--attribute {name} needs a column {name} with two or more values: {option} has {found or 'none'}."
            )


def _values(records: Sequence[Record], name: str) -> Counter[str]:
    return Counter(value for record in records if (value := record.columns.reveal().get(name)) is not None)


def prepare(
    encoder: Encoder,
    auxiliary: Records,
    target: Records | None = None,
    *,
    attacker: Encoder | None = None,
    attributes: Sequence[str] = (),
    stored: Sequence[str] = (),
    release: Release | None = None,
    seed: int = 0,
) -> Setting:
    """Encode the records, and divide the auxiliary ones: one in eleven is attacked. Raises UserError if few are left.

    `stored` are the names of attributes that are written beside vectors.
    """
    whole = _encoded(encoder, auxiliary, release, "--aux")
    if encoder.spec.modality == "text":
        _check_words(whole)
    attacked = len(whole.records) // (PER_ATTACKED + 1)
    return Setting(
        encoder=encoder,
        auxiliary=Side(whole.records[attacked:], whole.vectors[attacked:]),
        attacked=Side(whole.records[:attacked], whole.vectors[:attacked]),
        target=None if target is None else _encoded(encoder, target, release, "--target"),
        attacker=attacker,
        attributes=attributes,
        stored=stored,
        release=release,
        seed=seed,
    )


def _check_words(side: Side) -> None:
    """Raise UserError if texts have so little in common that the attacks on words find nothing, whatever leaks."""
    found = guarded(lambda: shared_words(side.texts()))
    count = 0 if isinstance(found, Reason) else found
    if count < FEWEST_WORDS:
        raise UserError(
            f"--aux has {count} words that are in two or more of its texts, but the attacks on words need "
            f"{FEWEST_WORDS}: name texts of one language and domain."
        )


def _encoded(encoder: Encoder, records: Records, release: Release | None, option: str) -> Side:
    found = vectors_of(encoder, [record.content for record in records.chosen], release)
    kept = [records.chosen[position] for position in found.positions]
    if len(kept) < FEWEST_ROWS:
        reasons = ", ".join(f"{count:,} {reason.value}" for reason, count in records.unreadable.items())
        raise UserError(
            f"{option} has {len(kept):,} different contents that {encoder.spec.ref} accepts, of {records.read:,} "
            f"records{f' ({reasons})' if reasons else ''}, but an audit needs {FEWEST_ROWS} or more: name another file."
        )
    return Side(kept, found.vectors)


def run(setting: Setting, report: Callable[[str], None]) -> list[Measure]:
    """Make every attack on the encoder's modality. `report` is called with the name of each."""
    plans = attacks_for(setting.encoder.spec.modality, setting)
    measures: list[Measure] = []
    while (planned := within_boundary(lambda: next(plans, None))) is not None:
        report(planned.attack.name)
        attack, auxiliary, attacked = planned
        measures += within_boundary(lambda a=attack, b=auxiliary, c=attacked: measure(a, b, c, setting.seed))  # type: ignore[misc]
    return measures


def limited(measures: Sequence[Measure], stream: Stream | None) -> list[Limited]:
    """Return measures with the limits of a stream."""
    limits: Mapping[str, float] = stream.leakage.max if stream and stream.leakage else {}
    return [Limited(each, limits.get(each.metric)) for each in measures]


def record(warehouse: Warehouse, spec: EncoderSpec, stream: Stream | None, found: Sequence[Limited]) -> str:
    """Write the measures of one audit to `leakage_audit_v1`, and return the audit's id."""
    limits = {each.measure.metric: each.allowed_max for each in found if each.allowed_max is not None}
    return write_measures(
        warehouse,
        [each.measure for each in found],
        fingerprint=spec.fingerprint,
        stream=stream.stream if stream else None,
        limits=limits,
    )
