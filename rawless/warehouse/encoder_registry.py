"""Encoders by name: the catalogue, files, and `encoder_v1`, where sealed specs are kept for good."""

from collections.abc import Callable
from datetime import UTC, datetime

from encoders import catalogue
from encoders.spec import EncoderSpec, canonical_json
from encoders.versions import changes, next_version, required_bump
from rawless.errors import UserError
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.rows import EncoderRow

_REGISTERED = """
SELECT spec FROM encoder_v1
WHERE @name IS NULL OR (name = @name AND version = @version)
ORDER BY registered_at
"""


def registered(warehouse: Warehouse, name: str | None = None, version: str | None = None) -> list[EncoderSpec]:
    """The sealed specs in `encoder_v1`, each once: all, or those of a name and version."""
    rows = warehouse.query(_REGISTERED, parameters({"name": name, "version": version}))
    specs = [catalogue.parse(row["spec"], "A spec in encoder_v1") for row in rows]
    return list({spec.fingerprint: spec for spec in specs}.values())


def resolve(open_place: Callable[[], Warehouse], ref: str) -> EncoderSpec:
    """The spec that `ref` names: catalogue or file; where that is unsealed, or the catalogue has none, the sealed
    one in `encoder_v1`, for which alone the warehouse is opened. Raises UserError when there is none.
    """
    try:
        spec = catalogue.lookup(ref)
    except UserError:
        name, _, version = ref.partition("@")
        if found := registered(open_place(), name, version):
            return found[0]
        raise
    if spec.sealed:
        return spec
    kept = registered(open_place(), spec.name, spec.version)
    return next((each for each in kept if _completes(each, spec)), spec)


def _completes(sealed: EncoderSpec, spec: EncoderSpec) -> bool:
    """Whether they differ only in digests that the unsealed spec leaves open."""
    return all(change.before is None for change in changes(spec, sealed))


def register(warehouse: Warehouse, spec: EncoderSpec) -> bool:
    """Keep a sealed spec in `encoder_v1`; says whether it was new.

    Raises UserError when it is unsealed, or when its name and version already belong to another fingerprint.
    """
    fingerprint = spec.fingerprint
    if is_registered(warehouse, spec):
        return False
    row = EncoderRow(
        name=spec.name,
        version=spec.version,
        fingerprint=fingerprint,
        spec=canonical_json(spec.model_dump(mode="json")),
        sealed=True,
        registered_at=datetime.now(UTC),
    )
    append_all(warehouse, [row])
    return True


def is_registered(warehouse: Warehouse, spec: EncoderSpec) -> bool:
    """Whether `encoder_v1` has the spec. Raises UserError as `register` does."""
    fingerprint = spec.fingerprint
    for other in registered(warehouse, spec.name, spec.version):
        if other.fingerprint == fingerprint:
            return True
        found = changes(other, spec)
        bump = required_bump(found)
        raise UserError(
            f"{spec.ref} is registered with fingerprint {other.fingerprint[:12]}, but this spec has "
            f"{fingerprint[:12]}: {', '.join(change.field for change in found)} differ. That is a {bump.value} change: "
            f"give the spec version {next_version(spec.version, bump)}."
        )
    return False
