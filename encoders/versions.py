"""Comparing two specs, and the version that their differences require."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from encoders.spec import EncoderSpec


class Bump(StrEnum):
    """A step of semantic versioning. Each but NONE means another fingerprint."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    NONE = "none"


_MAJOR = {"modality", "architecture", "dimension"}
_PATCH = {"weights", "tolerance", "training_domain", "parent"}
"""Every other field is minor, so that a field of a new family is never a patch by oversight."""
_NAMES = {"name", "version"}


@dataclass(frozen=True)
class Change:
    """A field that differs, by its path in the spec."""

    field: str
    before: Any
    after: Any
    bump: Bump


def changes(before: EncoderSpec, after: EncoderSpec) -> list[Change]:
    """Return the differences of identity except name and version, in the order of the spec's fields."""
    return [
        Change(path, old, new, _bump(path.split(".")[0]))
        for path, old, new in _differences(before.identity(), after.identity(), "")
        if path not in _NAMES
    ]


def required_bump(differences: list[Change]) -> Bump:
    """Return the largest step among the changes."""
    order = list(Bump)
    return min((change.bump for change in differences), key=order.index, default=Bump.NONE)


def next_version(version: str, bump: Bump) -> str:
    """Return the lowest version that follows `version` by this step."""
    major, minor, patch = (int(part) for part in version.split("."))
    return {
        Bump.MAJOR: f"{major + 1}.0.0",
        Bump.MINOR: f"{major}.{minor + 1}.0",
        Bump.PATCH: f"{major}.{minor}.{patch + 1}",
        Bump.NONE: version,
    }[bump]


def follows(before: EncoderSpec, after: EncoderSpec) -> bool:
    """Return whether the version of `after` is at least that which its differences from `before` require."""
    return order(after.version) >= order(next_version(before.version, required_bump(changes(before, after))))


def order(version: str) -> tuple[int, ...]:
    """Return a version as a key by which versions are sorted."""
    return tuple(map(int, version.split(".")))


def _bump(field: str) -> Bump:
    if field in _MAJOR:
        return Bump.MAJOR
    return Bump.PATCH if field in _PATCH else Bump.MINOR


def _differences(before: Any, after: Any, path: str) -> list[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = dict.fromkeys([*before, *after])
        return [
            difference
            for key in keys
            for difference in _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if before == after else [(path, before, after)]
