"""`rawless encoder list|show|diff|register`: the registry of encoders."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress

if TYPE_CHECKING:
    from pathlib import Path

    from encoders.spec import EncoderSpec
    from rawless.lifecycle.usage import Usage

app = typer.Typer(help="List, inspect, compare and seal encoders.", no_args_is_help=True)
Ref = Annotated[str, typer.Argument(help="NAME@VERSION, or the path of a spec file.")]
_LONGEST_VALUE = 100
_ASSUMES = (
    "It assumes any other content in each record of the person (sensitivity 2 x clip), and a reader without the noise "
    "key. It is of the embedding only, not of ids, times, attributes or logged predictions, and a large epsilon "
    "guarantees next to nothing: measure with `rawless audit leakage`."
)


@app.command("list")
def list_(warehouse: WarehouseFile = None, json: Json = False) -> None:
    """List every encoder of the catalogue and of the warehouse."""
    from encoders import catalogue
    from rawless.connect import open_warehouse
    from rawless.warehouse.encoder_registry import registered

    sealed = {spec.ref: spec for spec in registered(open_warehouse(warehouse))}
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
def show(
    ref: Ref,
    usage: Annotated[
        bool, typer.Option("--usage", help="Also list the rows, snapshots and heads of the warehouse that need it.")
    ] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Show the full spec of an encoder."""
    spec = resolved(ref, warehouse)
    used = _usage(spec, warehouse) if usage else None
    fingerprint = spec.fingerprint if spec.sealed else None
    described = {"fingerprint": fingerprint, "sealed": spec.sealed, **spec.model_dump(mode="json")}
    if json:
        found = guarantee(spec)
        described |= {"differential_privacy": found} if found else {}
        print_json(described | ({"usage": asdict(used)} if used else {}))
        return
    for field, value in described.items():
        if field != "parts":
            echo(f"{field}: {_inline(value)}")
    _print_parts(spec)
    if spec.defence != "none":
        echo("A head is of one side: heads of this fingerprint were trained on vectors with this defence.")
    if spec.adapter is not None:
        echo(
            "Its vectors are near to those of the adapter's target, but not the same: datasets and services take them "
            "for these only if they say so."
        )
    print_guarantee(spec)
    if used:
        _print_usage(spec, used)


def _print_parts(spec: "EncoderSpec") -> None:
    from encoders.composite import CompositeSpec

    start = 0
    for part in spec.parts if isinstance(spec, CompositeSpec) else ():
        end = start + part.encoder.dimension
        scaled = "of length one, " if part.l2_normalise else ""
        fingerprint = part.fingerprint if all(part.encoder.files.values()) else "not known yet"
        echo(
            f"components {start} to {end - 1}: {part.encoder.ref}, {scaled}times {part.weight:g}; its fingerprint is "
            f"{fingerprint}"
        )
        start = end


def _usage(spec: "EncoderSpec", warehouse: "Path | None") -> "Usage":
    from rawless.connect import open_warehouse
    from rawless.lifecycle.usage import usage

    return usage(open_warehouse(warehouse), spec.fingerprint)


def _print_usage(spec: "EncoderSpec", used: "Usage") -> None:
    for each in used.streams:
        echo(
            f"{each.stream}: {each.row_count:,} rows, of events from {each.first_at:%Y-%m-%d} to "
            f"{each.last_at:%Y-%m-%d}."
        )
    for what, names in (("Snapshots", used.snapshots), ("Heads", used.heads)):
        if names:
            echo(f"{what} that need it: {', '.join(names)}.")
    if not (used.streams or used.snapshots or used.heads):
        echo(f"Nothing in the warehouse needs {spec.ref}.")


@app.command()
def diff(before: Ref, after: Ref, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """Show the fields that differ between two encoders, and the version bump that they require."""
    from encoders.versions import changes, next_version, required_bump

    old, new = resolved(before, warehouse), resolved(after, warehouse)
    differences = changes(old, new)
    bump = required_bump(differences)
    rows: list[dict[str, Any]] = [
        {"field": change.field, "before": change.before, "after": change.after, "change": change.bump.value}
        for change in differences
    ]
    if json:
        print_json({"before": old.ref, "after": new.ref, "bump": bump.value, "changes": rows})
    elif not differences:
        echo(f"{old.ref} and {new.ref} are the same encoder.")
    else:
        print_table(rows)
        following = f"{old.name}@{next_version(old.version, bump)}"
        echo(f"This is a {bump.value} change: the version after {old.ref} is {following}.")


@app.command()
def register(ref: Ref, warehouse: WarehouseFile = None, json: Json = False) -> None:
    """Seal an encoder with the weights on this machine, and store its spec in the warehouse."""
    from encoders.catalogue import lookup

    spec = lookup(ref)
    from encoders.load import load
    from encoders.seal import seal
    from rawless.connect import open_warehouse
    from rawless.warehouse import encoder_registry

    with progress(f"Sealing {ref}"):
        spec = spec if spec.sealed else seal(spec)
        load(spec)
        new = encoder_registry.register(open_warehouse(warehouse), spec)
    if json:
        print_json({"encoder": spec.ref, "fingerprint": spec.fingerprint, "new": new})
    else:
        echo(f"{spec.ref} is {'registered' if new else 'already registered'}: fingerprint {spec.fingerprint}.")


def resolved(ref: str, warehouse: "Path | None") -> "EncoderSpec":
    """Return the spec that a command names: of the catalogue, of the warehouse, or of a file."""
    from rawless.connect import open_warehouse
    from rawless.warehouse.encoder_registry import resolve

    return resolve(lambda: open_warehouse(warehouse), ref)


def guarantee(spec: "EncoderSpec") -> dict[str, Any] | None:
    """Return the (ε, δ) of one and of several records of one person; None for an encoder without noise."""
    from encoders.defence import Defence
    from encoders.differential_privacy import DELTA, RECORDS, epsilon

    if not isinstance(spec.defence, Defence) or spec.defence.noise is None:
        return None
    rows = [{"records": records, "epsilon": epsilon(spec.defence, records)} for records in RECORDS]
    return {"delta": DELTA, "records": rows, "assumes": _ASSUMES}


def print_guarantee(spec: "EncoderSpec") -> None:
    """Print what `guarantee` returns."""
    if found := guarantee(spec):
        echo(f"Differential privacy of the embeddings of one person, δ = {found['delta']:g}:")
        print_table([{**row, "epsilon": f"{row['epsilon']:,.1f}"} for row in found["records"]])
        echo(found["assumes"])


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_inline(part)}" for name, part in value.items())
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:80]}… ({len(text)} characters)"
