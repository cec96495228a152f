"""Comparing two encoders on the events of a stream that carry both: their spaces, their heads, and a verdict."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from encoders.spec import EncoderSpec
from encoders.versions import Bump, changes, next_version, order, required_bump
from rawless.lifecycle.head_changes import HeadChange, head_changes
from rawless.lifecycle.paired_vectors import PairedVectors
from rawless.lifecycle.space_measures import SpaceMeasures, measure
from rawless.warehouse.client import Warehouse


@dataclass(frozen=True)
class EncoderComparison:
    """What replacing the first encoder by the second one does."""

    first: EncoderSpec
    second: EncoderSpec
    stream: str
    space: SpaceMeasures
    heads: tuple[HeadChange, ...]
    margin: float
    """By how much a head may lose in its main metric, unchanged, and still count as working."""

    @property
    def is_compatible(self) -> bool | None:
        """Whether heads of the first encoder work unchanged on vectors of the second; None if that is not known."""
        if self.space.is_rotation or self.first.dimension != self.second.dimension:
            return False
        if any(each.unchanged and not each.holds(self.margin) for each in self.heads):
            return False
        if any(each.unchanged is None for each in self.heads):
            return None
        return True if self.heads or self.space.is_same else None

    @property
    def bump(self) -> Bump:
        """The step of the version that the change demands: by what changed in the spec, and by what heads lose."""
        of_spec = required_bump(changes(self.first, self.second))
        if self.is_compatible is not False:
            return of_spec
        lost = Bump.MAJOR if self.first.dimension != self.second.dimension else Bump.MINOR
        return min(of_spec, lost, key=list(Bump).index)

    @property
    def verdict(self) -> str:
        """What to do, in one sentence."""
        one, other = self.first, self.second
        if self.bump == Bump.NONE:
            return f"{one.ref} and {other.ref} are the same encoder."
        count = f"the head of {one.ref}" if len(self.heads) == 1 else f"the {len(self.heads)} heads of {one.ref}"
        if self.is_compatible is None:
            unknown = [each.head for each in self.heads if each.unchanged is None]
            why = f"{', '.join(unknown)} could not be measured" if unknown else f"{one.ref} has no registered head"
            return f"Whether {other.ref} is compatible is not known, because {why}; {self._demand()}."
        if self.is_compatible:
            held = f"{count} work on it unchanged, within {self.margin:g}" if self.heads else "its vectors are the same"
            held = held.replace("work", "works", 1) if len(self.heads) == 1 else held
            if self.bump == Bump.PATCH:
                return f"{other.ref} is compatible with {one.ref}, so that a patch is enough: {held}."
            return f"{other.ref} is no patch of {one.ref}, although {held}: {self._demand()}."
        return f"{self._advice()}: {self._loss()}."

    def _demand(self) -> str:
        fields = sorted({each.field for each in changes(self.first, self.second) if each.bump == self.bump})
        return f"what changed ({', '.join(fields)}) demands a {self.bump.value} version"

    def _advice(self) -> str:
        following = next_version(self.first.version, self.bump)
        is_later = order(self.second.version) > order(self.first.version)
        if self.first.name == self.second.name and is_later and order(self.second.version) >= order(following):
            return f"{self.second.ref} is rightly a {self.bump.value} version after {self.first.ref}"
        if self.first.name != self.second.name:
            return f"Keep {self.second.ref} under a name of its own or make it a {self.bump.value} version"
        return f"Make it a {self.bump.value} version, {self.first.name}@{following}"

    def _loss(self) -> str:
        if self.first.dimension != self.second.dimension:
            return f"no head of {self.first.dimension:,} components takes vectors of {self.second.dimension:,}"
        lost = [(each.unchanged_difference, each) for each in self.heads if not each.holds(self.margin)]
        measured = [(difference, each) for difference, each in lost if difference is not None]
        if not measured:
            return "old heads do not work on it, because its space is rotated"
        difference, worst = min(measured, key=lambda each: each[0].low)
        return (
            f"the {difference.name} of {worst.head}, unchanged, changes by {difference}, which may be a loss of more "
            f"than {self.margin:g}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What else to know, a sentence each."""
        if self.space.is_rotation:
            return (
                f"{self.second.ref} is {self.first.ref} rotated: harmless to neighbours, fatal to old heads. Heads "
                "that are trained again lose nothing.",
            )
        return ()


def compare(
    warehouse: Warehouse,
    heads: Path,
    first: EncoderSpec,
    second: EncoderSpec,
    vectors: PairedVectors,
    *,
    k: int = 10,
    margin: float = 0.01,
    seed: int = 0,
    report_progress: Callable[[str], None] = lambda _: None,
) -> EncoderComparison:
    """Compare two encoders on vectors of the same events, and on the heads of the first, which are below `heads`."""
    report_progress("comparing spaces")
    space = measure(vectors, k, seed)
    changed = head_changes(warehouse, heads, first, second, report_progress=report_progress)
    return EncoderComparison(first, second, vectors.stream, space, tuple(changed), margin)
