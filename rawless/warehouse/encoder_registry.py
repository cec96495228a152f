"""Resolve encoder names: the catalogue, files, and the table `encoder_v1` of sealed specs."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

from encoders import catalogue
from encoders.query_role import check_fits, refuse_documents
from encoders.spec import EncoderSpec, canonical_json
from encoders.versions import changes, follows, next_version, order, required_bump
from rawless.errors import Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

_REGISTER = FOLDER / "encoder_v1" / "register.sql"


def registered(warehouse: Warehouse, name: str | None = None, version: str | None = None) -> list[EncoderSpec]:
    """Return the sealed specs in `encoder_v1` without duplicates: all, or those of a name and version.

    It lists the rows instead of a query, because processes with raw content may run no query.
    """
    rows = sorted(warehouse.list_rows("encoder_v1"), key=lambda row: row["registered_at"])
    if name is not None:
        rows = [row for row in rows if (row["name"], row["version"]) == (name, version)]
    specs = [catalogue.parse(row["spec"], "A spec in encoder_v1") for row in rows]
    return list({spec.fingerprint: spec for spec in specs}.values())


def space_of(warehouse: Warehouse, fingerprint: str) -> str:
    """Return the space of the registered encoder with a fingerprint; for one that is not registered the fingerprint.

    A row cannot claim a space, since the fingerprint is computed from its spec again.
    """
    rows = [row for row in warehouse.list_rows("encoder_v1") if row["fingerprint"] == fingerprint]
    specs = (catalogue.parse(row["spec"], "A spec in encoder_v1") for row in rows)
    return next((spec.space for spec in specs if spec.fingerprint == fingerprint), fingerprint)


def resolve(open_warehouse: Callable[[], Warehouse], ref: str) -> EncoderSpec:
    """Return the spec that `ref` names, from the catalogue or a file.

    If there is none, or it is unsealed, the sealed one in `encoder_v1` is returned; the warehouse is opened for this
    only. Raises UserError when there is none either.
    """
    try:
        spec = catalogue.lookup(ref)
    except UserError:
        name, _, version = ref.partition("@")
        if specs := registered(open_warehouse(), name, version):
            return specs[0]
        raise
    if spec.sealed:
        return spec
    sealed_specs = registered(open_warehouse(), spec.name, spec.version)
    return next((sealed for sealed in sealed_specs if sealed.completes(spec)), spec)


def register(warehouse: Warehouse, spec: EncoderSpec) -> bool:
    """Write a sealed spec to `encoder_v1`, and return whether it was new.

    Raises UserError when it is unsealed, when its name and version already belong to another fingerprint, when its
    version says less than what changed since the version before it, or until the one after it, or when it is a query
    tower that does not fit its documents' encoder.
    """
    if is_registered(warehouse, spec):
        return False
    _check_version(warehouse, spec)
    _check_documents(warehouse, spec)
    values = {"name": spec.name, "version": spec.version, "fingerprint": spec.fingerprint}
    values |= {"spec": canonical_json(spec.model_dump(mode="json"))}
    statement_parameters = parameters({**values, "registered_at": datetime.now(UTC)})
    key = f"{warehouse.table_id('encoder_v1')} {spec.ref}"
    job = warehouse.run_in_turn(key, warehouse.render(_REGISTER), statement_parameters)
    if job and job.num_dml_affected_rows:
        return True
    if is_registered(warehouse, spec):  # by another process in the meantime
        return False
    raise Unavailable(f"Another account has just begun to register {spec.ref}; run the command again.")


def _check_version(warehouse: Warehouse, spec: EncoderSpec) -> None:
    """Raise UserError if the version understates a change, seen from its neighbours of the same name."""
    catalogued = (catalogue.lookup(ref) for ref in catalogue.refs() if ref.partition("@")[0] == spec.name)
    known = {each.ref: each for each in (*catalogued, *registered(warehouse)) if each.sealed and each.name == spec.name}
    versions = sorted((*known.values(), spec), key=lambda each: order(each.version))
    at = versions.index(spec)
    for before, after in pairwise(versions[max(0, at - 1) : at + 2]):
        if not follows(before, after):
            differences = changes(before, after)
            bump = required_bump(differences)
            raise UserError(
                f"{spec.ref} cannot be registered: {', '.join(change.field for change in differences)} differ between "
                f"{before.ref} and {after.ref}, which is a {bump.value} change and needs version "
                f"{next_version(before.version, bump)} or later: choose another version."
            )


def _check_documents(warehouse: Warehouse, spec: EncoderSpec) -> None:
    """Raise UserError if a query tower does not fit the encoder of its documents, where that is known."""
    if spec.queries_of is None:
        return
    catalogued = (catalogue.lookup(ref) for ref in catalogue.refs())
    for documents in (*catalogued, *registered(warehouse)):
        if documents.sealed and documents.fingerprint == spec.queries_of:
            check_fits(spec, documents)


def refuse_query_tower(warehouse: Warehouse, ref: str) -> None:
    """Raise UserError if the encoder that is registered under NAME@VERSION encodes queries only."""
    name, _, version = ref.partition("@")
    for spec in registered(warehouse, name, version):
        refuse_documents(spec, "encoder")


def is_registered(warehouse: Warehouse, spec: EncoderSpec) -> bool:
    """Return whether `encoder_v1` contains the spec. Raises UserError as `register` does."""
    fingerprint = spec.fingerprint
    for other in registered(warehouse, spec.name, spec.version):
        if other.fingerprint == fingerprint:
            return True
        differences = changes(other, spec)
        bump = required_bump(differences)
        raise UserError(
            f"{spec.ref} is registered with fingerprint {other.fingerprint[:12]}, but this spec has "
            f"{fingerprint[:12]}: {', '.join(change.field for change in differences)} differ. That is a {bump.value} "
            f"change: give the spec version {next_version(spec.version, bump)}."
        )
    return False
