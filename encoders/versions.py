"""Comparing two specs, and the version that their differences require."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from encoders.composite import CompositeSpec, Part
from encoders.spec import EncoderSpec, canonical_json


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
    """Return the differences of identity except name and version, in the order of the spec's fields.

    Those of a composite are its own, and those of each part, which count as they do for the part alone.
    """
    old_fields, new_fields = ({**spec.identity(), "parts": None} for spec in (before, after))
    own = [
        Change(path, old, new, _bump(path.split(".")[0]))
        for path, old, new in _differences(old_fields, new_fields, "")
        if path not in _NAMES
    ]
    return own + _changes_of_parts(_parts(before), _parts(after))


def _parts(spec: EncoderSpec) -> tuple[Part, ...]:
    return spec.parts if isinstance(spec, CompositeSpec) else ()


def _changes_of_parts(before: tuple[Part, ...], after: tuple[Part, ...]) -> list[Change]:
    """Return the differences between parts. Another order or number of them moves components, so it is major.

    A part that is only named otherwise is a patch: whatever changes a part changes the whole.
    """
    names = [[part.encoder.name for part in parts] for parts in (before, after)]
    identities = [[canonical_json(part.identity()) for part in parts] for parts in (before, after)]
    is_moved = identities[0] != identities[1] and sorted(identities[0]) == sorted(identities[1])
    if names[0] != names[1] or is_moved:
        old_refs, new_refs = ([part.encoder.ref for part in parts] or None for parts in (before, after))
        return [Change("parts", old_refs, new_refs, Bump.MAJOR)]
    found = []
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        path = f"parts.{number}"
        found += [
            replace(change, field=f"{path}.encoder.{change.field}") for change in changes(old.encoder, new.encoder)
        ]
        if old.encoder.version != new.encoder.version:
            found.append(Change(f"{path}.encoder.version", old.encoder.version, new.encoder.version, Bump.PATCH))
        old_fields, new_fields = ({**part.identity(), "encoder": None} for part in (old, new))
        differences = _differences(old_fields, new_fields, path)
        found += [Change(field, first, second, Bump.MINOR) for field, first, second in differences]
    return found


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
