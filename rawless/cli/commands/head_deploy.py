"""`rawless head deploy` and `head rollback`: which version of a head services answer with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, say

if TYPE_CHECKING:
    from rawless.heads.artefact import HeadManifest

HeadFolder = Annotated[
    Path | None,
    typer.Option("--to", help="The folder of heads that services read; by default the local one.", show_default=False),
]


def deploy(
    reference: Annotated[str, typer.Argument(help="NAME@VERSION, or a name for its newest.")],
    to: HeadFolder = None,
    new_layout: Annotated[
        bool, typer.Option("--new-layout", help="Take another layout, too; for services that are started anew.")
    ] = False,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Make a version of a head live: services that run take it up at once, without losing a request."""
    from rawless.connect import open_warehouse
    from rawless.heads import registry
    from rawless.heads.deployment import deploy as make_live
    from rawless.heads.publish import bring
    from rawless.local import home

    found, heads = registry.find(open_warehouse(warehouse), reference), to or home.heads()
    bring(found, home.heads(), heads)
    _tell(make_live(heads, found.head, found.version, new_layout=new_layout), heads, json)


def rollback(
    name: Annotated[str, typer.Argument(help="The head's name.")], to: HeadFolder = None, json: Json = False
) -> None:
    """Make the version of a head live again that was live before."""
    from rawless.heads.deployment import rollback as go_back
    from rawless.local import home

    heads = to or home.heads()
    _tell(go_back(heads, name), heads, json)


def _tell(manifest: "HeadManifest", heads: Path, json: bool) -> None:
    if json:
        print_json({"head": manifest.head, "version": manifest.version, "folder": str(heads)})
    else:
        say(f"{manifest.head}@{manifest.version} is live in {heads}.")
