"""`rawless head deploy` and `rawless head rollback`: choose the version of a head that services use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, warn

if TYPE_CHECKING:
    from rawless.heads.artefact import HeadManifest
    from rawless.heads.comparison import Comparison
    from rawless.heads.registry import RegisteredHead
    from rawless.warehouse.client import Warehouse

HeadFolder = Annotated[
    Path | None,
    typer.Option("--to", help="The folder of heads that services read. By default the local one.", show_default=False),
]


def deploy(
    reference: Annotated[str, typer.Argument(help="NAME@VERSION, or a name for its newest version.")],
    to: HeadFolder = None,
    new_layout: Annotated[
        bool,
        typer.Option(
            "--new-layout", help="Allow a version with another layout; running services must then be restarted."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Allow a version that is worse than the live one, or cannot be compared.")
    ] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Make a version of a head live for its encoder, unless it is worse than the one that is.

    Running services switch to it without losing a request. Live versions for other encoders stay live beside it.
    """
    from rawless.connect import open_warehouse
    from rawless.heads import registry
    from rawless.heads.artefact import read
    from rawless.heads.deployment import deploy as make_live
    from rawless.heads.deployment import live_by_space
    from rawless.heads.publish import copy_to_heads
    from rawless.local import home

    opened = open_warehouse(warehouse)
    head, heads = registry.find(opened, reference), to or home.heads()
    copy_to_heads(head, home.heads(), heads)
    live = live_by_space(heads, head.head).get(read(heads / head.head / str(head.version)).manifest.space)
    is_change = live not in (None, head.version)
    comparison = _compare(opened, head, heads / head.head, str(live), force) if is_change else None
    _print_live(make_live(heads, head.head, head.version, new_layout=new_layout), heads, json, comparison)
    if is_change and comparison is None and not force:
        warn(f"It was not compared with {head.head}@{live}, since no snapshot is known that both can be evaluated on.")


def _compare(
    warehouse: "Warehouse", head: "RegisteredHead", folder: Path, live: str, force: bool
) -> "Comparison | None":
    """Compare a version with the live one. Raises UserError when it is worse or cannot be compared, unless forced."""
    from rawless.errors import UserError
    from rawless.heads.comparison import compare
    from rawless.heads.session import open_head

    comparison, problem = None, ""
    try:
        comparison = compare(warehouse, open_head(folder / live), open_head(folder / str(head.version)))
        if comparison and comparison.is_worse:
            problem = f"{head.head}@{head.version} is worse than the live {head.head}@{live}: {comparison}."
    except UserError as error:
        problem = f"{head.head}@{head.version} cannot be compared with the live {head.head}@{live}: {error}"
    if problem and not force:
        raise UserError(f"{problem} Use --force to deploy it nevertheless.")
    if problem:
        warn(f"{problem} It is deployed because of --force.")
    return comparison


def rollback(
    name: Annotated[str, typer.Argument(help="The head's name.")],
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="NAME@VERSION of the encoder whose live version is rolled back, if several have one.",
            show_default=False,
        ),
    ] = None,
    to: HeadFolder = None,
    json: Json = False,
) -> None:
    """Make the version of a head live again that was live before, for the same encoder."""
    from rawless.heads.deployment import rollback as restore
    from rawless.local import home

    heads = to or home.heads()
    _print_live(restore(heads, name, encoder), heads, json)


def _print_live(manifest: "HeadManifest", heads: Path, json: bool, comparison: "Comparison | None" = None) -> None:
    from rawless.heads.deployment import live_encoders

    others = {
        each: encoder for each, encoder in live_encoders(heads, manifest.head).items() if each != manifest.version
    }
    if json:
        live: dict[str, Any] = {"head": manifest.head, "version": manifest.version, "folder": str(heads)}
        live |= {"encoder": manifest.encoder_ref, "beside": {encoder: each for each, encoder in others.items()}}
        if comparison:
            live["comparison"] = {**comparison._asdict(), "difference": comparison.difference._asdict()}
        print_json(live)
        return
    echo(f"{manifest.head}@{manifest.version} is live in {heads}{_beside(manifest, others)}.")
    if comparison:
        echo(f"Compared with the version before, {comparison}.")


def _beside(manifest: "HeadManifest", others: "dict[int, str]") -> str:
    """Return which versions are live for other encoders, as the end of a sentence."""
    if not others:
        return ""
    versions = ", ".join(f"{manifest.head}@{version} for {encoder}" for version, encoder in others.items())
    return f" for {manifest.encoder_ref}, beside {versions}"
