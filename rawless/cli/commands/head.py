"""`rawless head`: shallow models on frozen embeddings, from a file to a folder that can be shipped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rawless.cli.options import Json, Metadata, WarehouseFile
from rawless.cli.output import print_json, print_table, say, steps, warn

if TYPE_CHECKING:
    from rawless.heads.artefact import HeadManifest
    from rawless.heads.evaluation import Evaluation

app = typer.Typer(help="Shallow models on frozen embeddings.", no_args_is_help=True)

Reference = Annotated[str, typer.Argument(help="NAME@VERSION, or a name for its newest.")]
_SHOWN = 10


@app.command()
def train(
    file: Annotated[Path, typer.Argument(help="The head's file.")],
    baseline: Annotated[
        Literal["finetune"] | None,
        typer.Option("--baseline", help="Measure, too, what fine-tuning the encoder reaches; it reads raw content."),
    ] = None,
    stream: Annotated[Path | None, typer.Option("--stream", help="For the baseline: the stream file.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="For the baseline: jsonl:PATH or files:GLOB.")] = None,
    metadata: Metadata = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="For the baseline: epochs of fine-tuning.")] = 3,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Train a head on a snapshot's vectors, judge it once on test, and write it as the next version of its name."""
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import find
    from rawless.errors import UserError
    from rawless.heads.examples import open_task
    from rawless.heads.publish import ship
    from rawless.heads.spec import load_head_spec
    from rawless.heads.training import train as fit
    from rawless.lifecycle.finetune_baseline import Content, with_finetuned
    from rawless.local import home

    content = Content(stream, source, metadata, epochs) if stream and source else None
    if (baseline is None) != (content is None):
        raise UserError("A baseline by fine-tuning needs --baseline finetune, --stream and --source together.")
    spec, place = load_head_spec(file), open_warehouse(warehouse)
    with steps(f"Training {spec.head}") as told:
        told("reading")
        task = open_task(place, spec, find(place, spec.snapshot))
        trained = fit(task, told)
        if content:
            trained = with_finetuned(place, trained, content, told)
        manifest, folder = ship(place, trained, home.heads())
    for sentence in trained.evaluation.warnings:
        warn(sentence)
    if json:
        print_json({"folder": str(folder), **_told(manifest, trained.evaluation)})
        return
    _tell(manifest, trained.evaluation)
    say(f"In {folder}: `rawless report dataset {manifest.snapshot_id} --head {manifest.head}` draws it.")


@app.command()
def show(
    reference: Reference,
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", help="Judge it on this snapshot's test split, too.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Show a head: what it needs, how good it is, where it fails."""
    from rawless.connect import open_warehouse
    from rawless.datasets.snapshots import find
    from rawless.heads import artefact, registry
    from rawless.heads.publish import folder_of
    from rawless.heads.reevaluate import judge_again
    from rawless.local import home

    place = open_warehouse(warehouse)
    folder = folder_of(registry.find(place, reference), home.heads())
    manifest, _ = artefact.read(folder)
    evaluation = artefact.read_evaluation(folder)
    again = judge_again(place, folder, find(place, snapshot)) if snapshot else ()
    if json:
        there = {"on": snapshot, "metrics": _measures(again)} if snapshot else {}
        print_json({"folder": str(folder), **_told(manifest, evaluation), **there})
        return
    _tell(manifest, evaluation)
    if snapshot:
        print_table([{"measure": each.name, snapshot: str(each)} for each in again], f"On {snapshot}")


@app.command("list")
def show_all(
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Those that need this encoder: NAME@VERSION, or a fingerprint.")
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """List the heads, newest first, and which are live here."""
    from rawless.connect import open_warehouse
    from rawless.heads import registry
    from rawless.heads.deployment import live_version
    from rawless.local import home

    fingerprint = _fingerprint(encoder) if encoder else None
    known = registry.heads(open_warehouse(warehouse), fingerprint=fingerprint)
    live = {name: live_version(home.heads(), name) for name in {each.head for each in known}}
    found = [
        {"head": f"{each.head}@{each.version}", "live": live[each.head] == each.version, "kind": each.kind,
         "snapshot": each.snapshot_id, "encoder": each.fingerprint[:12], "created_at": each.created_at}
        for each in known
    ]  # fmt: skip
    if json:
        print_json(found)
    else:
        print_table(found)


@app.command()
def export(
    reference: Reference,
    folder: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Copy a head's folder: the graph, its manifest, and what was measured of it."""
    from rawless.connect import open_warehouse
    from rawless.heads import registry
    from rawless.heads.publish import copy, folder_of
    from rawless.local import home

    found = registry.find(open_warehouse(warehouse), reference)
    manifest = copy(folder_of(found, home.heads()), folder)
    if json:
        print_json({"folder": str(folder), **_told(manifest, None)})
    else:
        encoder = f"{manifest.encoder}@{manifest.encoder_version}"
        say(f"{folder}: {manifest.head}@{manifest.version}, for vectors of {encoder}.")


def _fingerprint(encoder: str) -> str:
    from encoders.catalogue import lookup

    return lookup(encoder).fingerprint if "@" in encoder or encoder.endswith((".yaml", ".yml")) else encoder


def _told(manifest: "HeadManifest", evaluation: "Evaluation | None") -> dict[str, Any]:
    told = manifest.model_dump(mode="json")
    told["metrics"] = _measures(manifest.metrics)
    return told if evaluation is None else {**told, "evaluation": evaluation.model_dump(mode="json")}


def _measures(measures: Any) -> list[dict[str, Any]]:
    return [each._asdict() for each in measures]


def _tell(manifest: "HeadManifest", evaluation: "Evaluation | None") -> None:
    say(
        f"{manifest.head}@{manifest.version}: {manifest.kind} over {manifest.encoder}@{manifest.encoder_version}"
        + (f", trained on {manifest.snapshot_id}." if manifest.snapshot_id else ".")
    )
    for tensor in (*manifest.inputs, *manifest.outputs):
        say(f"  {tensor.name}: {tensor.type} {list(tensor.shape)}")
    if evaluation is None:
        return
    baselines = {name: {each.name: each for each in found} for name, found in evaluation.baselines.items()}
    print_table(
        [
            {"measure": each.name, "head": str(each)}
            | {name: str(found[each.name]) for name, found in baselines.items() if each.name in found}
            for each in evaluation.measures
        ],
        f"On {evaluation.rows['test']:,} rows of test, with 95% intervals",
    )
    worst = sorted(evaluation.slices, key=lambda each: each.measure.value)[:_SHOWN]
    slices = [
        {"of": each.of, "value": each.value, "rows": each.rows, each.measure.name: str(each.measure)} for each in worst
    ]
    mistakes = [each._asdict() | {"confidence": f"{each.confidence:.3f}"} for each in evaluation.mistakes[:_SHOWN]]
    suspects = [each._asdict() | {"share": f"{each.share:.1f}"} for each in evaluation.suspects[:_SHOWN]]
    for rows, title in (
        (slices, "Slices, the worst first"),
        (mistakes, f"Mistakes, {len(evaluation.mistakes):,}, the most confident first"),
        (suspects, f"Suspected mislabels, {len(evaluation.suspects):,}, told by their neighbours"),
    ):
        if rows:
            print_table(rows, title)
