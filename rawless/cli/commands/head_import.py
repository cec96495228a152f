"""`rawless head import`: make a head from a model that was trained elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress
from rawless.heads.importing.tensorflow_converter import INTERPRETER

if TYPE_CHECKING:
    from rawless.heads.artefact import HeadManifest
    from rawless.heads.importing.importer import ImportedModel

_TENSORS_SHOWN = 20


def import_head(
    model: Annotated[Path, typer.Argument(help="The model: an ONNX file, or the folder of a TensorFlow SavedModel.")],
    encoder: Annotated[
        str,
        typer.Option("--encoder", help="The encoder of its input vectors: NAME@VERSION, or the path of a spec file."),
    ],
    name: Annotated[str, typer.Option("--as", help="The head's name.")],
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="The classes in the order of its columns, as in a,b,c; by default its own."),
    ] = None,
    signature: Annotated[
        str | None,
        typer.Option("--signature", help="The signature of the SavedModel; by default its only one."),
    ] = None,
    tensorflow: Annotated[
        str | None,
        typer.Option(
            "--tensorflow",
            envvar=INTERPRETER,
            help="The Python interpreter with tensorflow and tf2onnx that converts a SavedModel; by default this one.",
        ),
    ] = None,
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", help="Evaluate it on the test split of this snapshot.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Read a model that was trained elsewhere, check it, and write it as a new version of a head."""
    from encoders.catalogue import lookup

    spec = lookup(encoder)
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import find
    from rawless.heads.importing.importer import evaluated, import_model
    from rawless.heads.publish import publish
    from rawless.local import home

    with progress(f"Importing {name}"):
        names = classes.split(",") if classes is not None else ()
        imported = import_model(model, spec, name, names, signature=signature, tensorflow=tensorflow)
        opened, order = open_warehouse(warehouse), imported.manifest.classes
        if snapshot:
            imported = evaluated(opened, imported, find(opened, snapshot))
        written, folder = publish(opened, imported.manifest, imported.graph, home.heads())
    if json:
        print_json({"folder": str(folder), "tensors": tensors(imported), **written.model_dump(mode="json")})
        return
    _print_import(imported, written)
    if imported.manifest.classes != order:
        echo(f"Its columns were reordered as the snapshot's classes; the model has them as {', '.join(order)}.")
    echo(f"The head is in {folder}.")


def tensors(imported: "ImportedModel") -> list[dict[str, Any]]:
    """Return one row per tensor of the model; inputs and the output with their names in the head."""
    signature, manifest = imported.signature, imported.manifest
    names = [tensor.name for tensor in (*manifest.inputs, *manifest.outputs)]
    roles = [("input", tensor) for tensor in signature.inputs] + [("output", signature.output)]
    roles += [("label", tensor) for tensor in signature.labels]
    # The constants of a converted model are its variables under other names, some of them multiplied together.
    roles += [("variable", tensor) for tensor in imported.variables]
    roles += [("constant", tensor) for tensor in signature.constants if not imported.variables]
    return [
        {"tensor": role, "name": tensor.name, "type": tensor.type, "shape": tensor.shape,
         "becomes": names[position] if position < len(names) else None}
        for position, (role, tensor) in enumerate(roles)
    ]  # fmt: skip


def _print_import(imported: "ImportedModel", manifest: "HeadManifest") -> None:
    from rawless.heads.importing.model_signature import format_shape

    rows = tensors(imported)
    for row in rows:
        row["shape"] = format_shape(row["shape"])
    title = f"{len(rows)} tensors" + (f", the first {_TENSORS_SHOWN} shown" if len(rows) > _TENSORS_SHOWN else "")
    print_table(rows[:_TENSORS_SHOWN], title)
    classes = f" of the classes {', '.join(manifest.classes)}" if manifest.classes else ""
    if imported.classes_from:
        classes += f", as {imported.classes_from} says"
    echo(
        f"Imported {manifest.head}@{manifest.version} over {manifest.encoder}@{manifest.encoder_version}; "
        f"it returns {manifest.outputs[0].name}{classes}."
    )
    if converted := manifest.hyperparameters.get("signature"):
        versions = " and ".join(f"{name} {manifest.libraries[name]}" for name in ("tensorflow", "tf2onnx"))
        echo(f"Converted from the signature {converted} by {versions}.")
    if imported.signature.labels:
        names = ", ".join(tensor.name for tensor in imported.signature.labels)
        echo(f"Outputs left out because they are labels: {names}.")
    if manifest.metrics:
        measured = [{"measure": measure.name, "value": str(measure)} for measure in manifest.metrics]
        print_table(measured, f"On the test split of {manifest.hyperparameters['judged_on']}")
