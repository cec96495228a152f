"""`rawless head import`: a model made elsewhere becomes a head."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import print_json, print_table, progress, say

if TYPE_CHECKING:
    from rawless.heads.artefact import HeadManifest
    from rawless.heads.importing.importer import Imported

_SHOWN = 20


def import_head(
    file: Annotated[Path, typer.Argument(help="The model, in ONNX.")],
    encoder: Annotated[str, typer.Option("--encoder", help="NAME@VERSION, or a spec's path: whose vectors it takes.")],
    name: Annotated[str, typer.Option("--as", help="The head's name.")],
    classes: Annotated[
        str | None, typer.Option("--classes", help="The classes of its columns in their order, as in a,b,c.")
    ] = None,
    snapshot: Annotated[str | None, typer.Option("--snapshot", help="Judge it on this snapshot's test split.")] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Read a model made elsewhere, try it, and write it as the next version of a head's name."""
    from encoders.catalogue import lookup
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import find
    from rawless.heads.importing.importer import judged, read
    from rawless.heads.publish import place
    from rawless.local import home

    spec = lookup(encoder)
    with progress(f"Importing {name}"):
        imported = read(file, spec, name, classes.split(",") if classes is not None else ())
        where = open_warehouse(warehouse)
        manifest = judged(where, imported, find(where, snapshot)) if snapshot else imported.manifest
        written, folder = place(where, manifest, imported.graph, home.heads())
    if json:
        print_json({"folder": str(folder), "tensors": tensors(imported), **written.model_dump(mode="json")})
        return
    _tell(imported, written, snapshot)
    say(f"In {folder}.")


def tensors(imported: "Imported") -> list[dict[str, Any]]:
    """Every tensor that was read; of inputs and the answer, what they are called now."""
    found, manifest = imported.signature, imported.manifest
    now = [each.name for each in (*manifest.inputs, *manifest.outputs)]
    roles = [("input", each) for each in found.inputs] + [("output", found.answer)]
    roles += [("label", each) for each in found.labels] + [("constant", each) for each in found.constants]
    return [
        {"tensor": role, "name": each.name, "type": each.type, "shape": each.shape,
         "becomes": now[place] if place < len(now) else None}
        for place, (role, each) in enumerate(roles)
    ]  # fmt: skip


def _tell(imported: "Imported", manifest: "HeadManifest", snapshot: str | None) -> None:
    from rawless.heads.importing.signature import said

    rows = tensors(imported)
    for row in rows:
        row["shape"] = said(row["shape"])
    more = len(rows) - _SHOWN
    print_table(rows[:_SHOWN], f"{len(rows)} tensors" + (f", the first {_SHOWN}" if more > 0 else ""))
    classes = f", of the classes {', '.join(manifest.classes)}" if manifest.classes else ""
    say(
        f"{manifest.head}@{manifest.version}: imported over {manifest.encoder}@{manifest.encoder_version}, "
        f"answers {manifest.outputs[0].name}{classes}."
    )
    if imported.signature.labels:
        say(f"Left out, as labels: {', '.join(each.name for each in imported.signature.labels)}.")
    if manifest.metrics:
        measured = [{"measure": each.name, "value": str(each)} for each in manifest.metrics]
        print_table(measured, f"On test of {snapshot}")
