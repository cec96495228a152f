"""The features that a head takes beside the vector: one float32 column each, in the order of the head's manifest.

A number is itself, a class the index of its class, and NaN is a missing value of either.
"""

import math
from collections.abc import Sequence
from typing import Literal

from rawless.datasets.snapshots import Manifest
from rawless.datasets.spec import ClosedValues, Name
from rawless.errors import UserError


class HeadFeature(ClosedValues):
    """A feature of a head, as the dataset of its snapshot declares it."""

    called = "feature"

    name: Name

    def __str__(self) -> str:
        """Return name and values for people."""
        values = f"{self.range[0]:g} to {self.range[1]:g}" if self.range else ", ".join(self.classes)
        return f"{self.name} ({values})"

    def encoded(self, value: object) -> float | None:
        """Return a value as its column has it, rounded as in a snapshot; None for one that the feature cannot have."""
        if value is None:
            return math.nan
        if isinstance(value, str) and value in self.classes:
            return self.classes.index(value)
        if self.range and self.step and isinstance(value, int | float) and not isinstance(value, bool):
            lowest, highest = self.range
            if lowest <= value <= highest:
                return lowest + math.floor((value - lowest) / self.step + 0.5) * self.step
        return None


def choose_features(names: Literal["all"] | Sequence[str], snapshot: Manifest) -> tuple[HeadFeature, ...]:
    """Return the features of a snapshot with these names, sorted. Raises UserError for a name that it does not have."""
    declared = {
        name: HeadFeature(name=name, **feature.model_dump(include=set(ClosedValues.model_fields)))
        for name, feature in snapshot.features.items()
    }
    if names == "all":
        return tuple(declared.values())
    if unknown := [name for name in names if name not in declared]:
        raise UserError(
            f"The head takes the feature {unknown[0]}, but the features of {snapshot.snapshot_id} are "
            f"{', '.join(declared) or 'none'}: choose among them, or declare it in the dataset."
        )
    return tuple(feature for name, feature in declared.items() if name in names)


def check_features(features: Sequence[HeadFeature], snapshot: Manifest) -> None:
    """Raise UserError unless a snapshot has these features with the same classes, ranges and steps."""
    for given, feature in zip(choose_features([each.name for each in features], snapshot), features, strict=True):
        if given != feature:
            raise UserError(
                f"The head takes the feature {feature}, but {snapshot.snapshot_id} has {given}: build a snapshot whose "
                "dataset declares it as that of the head does."
            )
