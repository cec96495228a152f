"""`rawless head deploy` and `rawless head rollback`: choose the version of a head that services use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json

if TYPE_CHECKING:
    from rawless.heads.artefact import HeadManifest

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
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Make a version of a head live. Running services switch to it immediately, without losing a request."""
    from rawless.connect import open_warehouse
    from rawless.heads import registry
    from rawless.heads.deployment import deploy as make_live
    from rawless.heads.publish import copy_to_heads
    from rawless.local import home

    head, heads = registry.find(open_warehouse(warehouse), reference), to or home.heads()
    copy_to_heads(head, home.heads(), heads)
    _print_live(make_live(heads, head.head, head.version, new_layout=new_layout), heads, json)


def rollback(
    name: Annotated[str, typer.Argument(help="The head's name.")], to: HeadFolder = None, json: Json = False
) -> None:
    """Make the previously live version of a head live again."""
    from rawless.heads.deployment import rollback as restore
    from rawless.local import home

    heads = to or home.heads()
    _print_live(restore(heads, name), heads, json)


def _print_live(manifest: "HeadManifest", heads: Path, json: bool) -> None:
    if json:
        print_json({"head": manifest.head, "version": manifest.version, "folder": str(heads)})
    else:
        echo(f"{manifest.head}@{manifest.version} is live in {heads}.")
