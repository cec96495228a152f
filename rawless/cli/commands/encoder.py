"""`rawless encoder list|show|diff|register`: the registry of encoders."""

from typing import Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, print_table, progress, say

app = typer.Typer(help="Encoders: what there is, how two differ, sealing.", no_args_is_help=True)
Ref = Annotated[str, typer.Argument(help="name@version, or the path of a spec.")]


@app.command("list")
def list_(warehouse: WarehouseFile = None, json: Json = False) -> None:
    """Every encoder of the catalogue and of the warehouse."""
    from encoders import catalogue
    from rawless.connect import open_warehouse
    from rawless.warehouse.encoder_registry import registered

    kept = registered(open_warehouse(warehouse))
    sealed = {spec.ref: spec for spec in kept}
    specs = {ref: catalogue.lookup(ref) for ref in catalogue.refs()} | sealed
    rows = [
        {
            "encoder": ref,
            "modality": spec.modality,
            "dimension": spec.dimension,
            "sealed": spec.sealed,
            "registered": ref in sealed,
            "fingerprint": spec.fingerprint if spec.sealed else None,
        }
        for ref, spec in sorted(specs.items())
    ]
    print_json(rows) if json else print_table(rows)


@app.command()
def show(ref: Ref, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """One encoder's spec, whole."""
    spec = _resolve(ref, warehouse)
    fingerprint = spec.fingerprint if spec.sealed else None
    described = {"fingerprint": fingerprint, "sealed": spec.sealed, **spec.model_dump(mode="json")}
    if json:
        print_json(described)
        return
    for field, value in described.items():
        say(f"{field}: {_short(value)}")


@app.command()
def diff(before: Ref, after: Ref, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """What differs between two encoders, and which step of version that asks for."""
    from encoders.versions import changes, next_version, required_bump

    old, new = _resolve(before, warehouse), _resolve(after, warehouse)
    found = changes(old, new)
    bump = required_bump(found)
    rows: list[dict[str, Any]] = [
        {"field": each.field, "before": each.before, "after": each.after, "change": each.bump.value} for each in found
    ]
    if json:
        print_json({"before": old.ref, "after": new.ref, "bump": bump.value, "changes": rows})
    elif not found:
        say(f"{old.ref} and {new.ref} are the same encoder.")
    else:
        print_table(rows)
        say(f"A {bump.value} change: after {old.ref} comes {old.name}@{next_version(old.version, bump)}.")


@app.command()
def register(ref: Ref, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """Seal an encoder with the weights that are here, and keep its spec in the warehouse."""
    from encoders.catalogue import lookup
    from encoders.load import load
    from encoders.seal import seal
    from rawless.connect import open_warehouse
    from rawless.warehouse import encoder_registry

    spec = lookup(ref)
    with progress(f"Sealing {ref}"):
        spec = spec if spec.sealed else seal(spec)
        load(spec)
        new = encoder_registry.register(open_warehouse(warehouse), spec)
    if json:
        print_json({"encoder": spec.ref, "fingerprint": spec.fingerprint, "new": new})
    else:
        say(f"{spec.ref} is {'registered' if new else 'already registered'}: fingerprint {spec.fingerprint}.")


def _resolve(ref: str, warehouse: Any) -> Any:
    from rawless.connect import open_warehouse
    from rawless.warehouse.encoder_registry import resolve

    return resolve(lambda: open_warehouse(warehouse), ref)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    text = str(value)
    return text if len(text) <= 100 else f"{text[:80]}… ({len(text)} characters)"
