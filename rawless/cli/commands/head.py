"""`rawless head`: train, inspect and export shallow models on frozen embeddings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rawless.cli.class_table import classes_json, print_classes
from rawless.cli.options import Json, Metadata, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress_steps, warn

if TYPE_CHECKING:
    from rawless.datasets.snapshots import Manifest
    from rawless.heads.artefact import HeadManifest
    from rawless.heads.evaluation import Evaluation, OutOfScope
    from rawless.heads.reevaluate import Reevaluation
    from rawless.warehouse.client import Warehouse

app = typer.Typer(help="Train, inspect, export and deploy shallow models on frozen embeddings.", no_args_is_help=True)

Reference = Annotated[str, typer.Argument(help="NAME@VERSION, or a name for its newest version.")]
_ROWS_SHOWN = 10


@app.command()
def train(
    file: Annotated[Path, typer.Argument(help="The head file.")],
    baseline: Annotated[
        Literal["finetune"] | None,
        typer.Option("--baseline", help="Also measure a fine-tuned encoder; this reads raw content."),
    ] = None,
    stream: Annotated[Path | None, typer.Option("--stream", help="For the baseline: the stream file.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="For the baseline: jsonl:PATH or files:GLOB.")] = None,
    metadata: Metadata = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="For the baseline: epochs of fine-tuning.")] = 3,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Train a head on a snapshot's vectors, evaluate it once on the test split, and write it as a new version."""
    from rawless.errors import UserError
    from rawless.heads.spec import load_head_spec

    if (baseline is None) != (stream is None or source is None):
        raise UserError("A fine-tuning baseline needs --baseline finetune, --stream and --source together.")
    spec = load_head_spec(file)
    from rawless.connect import open_warehouse
    from rawless.heads.publish import publish_trained
    from rawless.heads.train_spec import train_spec
    from rawless.lifecycle.finetune_baseline import Content, with_finetuned
    from rawless.local import home

    opened = open_warehouse(warehouse)
    with progress_steps(f"Training {spec.head}") as report_step:
        trained = train_spec(opened, spec, report_step)
        if stream and source:
            trained = with_finetuned(opened, trained, Content(stream, source, metadata, epochs), report_step)
        manifest, folder = publish_trained(opened, trained, home.heads())
    found = trained.task.manifest
    for warning in trained.evaluation.warnings:
        warn(warning)
    if json:
        resolved = {"reference": spec.snapshot, "snapshot_id": found.snapshot_id, "as_of": found.as_of}
        print_json({"folder": str(folder), **_head_json(manifest, trained.evaluation), "snapshot": resolved})
        return
    if spec.snapshot != found.snapshot_id:
        echo(f"The newest snapshot of {spec.snapshot} is {found.snapshot_id}, as of {found.as_of:%Y-%m-%d %H:%M %Z}.")
    _print_head(manifest, trained.evaluation)
    echo(f"The head is in {folder}.")
    echo(f"To see a report: rawless report dataset {manifest.snapshot_id} --head {manifest.head}")


@app.command()
def show(
    reference: Reference,
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", help="Also evaluate it on the test split of this snapshot, without seen rows."),
    ] = None,
    out_of_scope: Annotated[
        str | None,
        typer.Option(
            "--out-of-scope", help="Also evaluate how its domain separates its test split from this snapshot's rows."
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Write the suspected mislabels to this CSV file: ids and labels, no content."),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Show a head: the encoder it needs, its measures, its mistakes and suspected mislabels."""
    from rawless.connect import open_warehouse
    from rawless.datasets import erasures
    from rawless.datasets.snapshots import find
    from rawless.heads import artefact, registry
    from rawless.heads.publish import folder_of
    from rawless.local import home

    opened = open_warehouse(warehouse)
    folder = folder_of(registry.find(opened, reference), home.heads())
    manifest = artefact.read(folder).manifest
    evaluation = artefact.read_evaluation(folder)
    erased = erasures.list_erasures(opened, manifest.snapshot_id) if manifest.snapshot_id else []
    other = find(opened, snapshot) if snapshot else None
    judged = _judge(opened, folder, other) if other else None
    separated = _separate(opened, folder, find(opened, out_of_scope)) if out_of_scope else None
    if to:
        _write_suspects(to, evaluation)
    if json:
        on_snapshot: dict[str, Any] = {}
        if other and judged:
            on_snapshot = {"on": snapshot, "on_snapshot_id": other.snapshot_id, "on_rows": judged.rows,
                           "left_out": judged.left_out, "metrics": _measures_json(judged.metrics),
                           "on_classes_measured": classes_json(judged.classes, judged.curves)}  # fmt: skip
        if separated:
            on_snapshot["out_of_scope"] = {**separated._asdict(), "measures": _measures_json(separated.measures)}
        on_snapshot["erased_rows"] = erasures.erased_rows(erased)
        print_json({"folder": str(folder), **_head_json(manifest, evaluation), **on_snapshot})
        return
    _print_head(manifest, evaluation)
    if erased:
        echo(f"Train it again: its snapshot reproduces {erasures.describe(erased)}, which the head was trained on.")
    if other and judged:
        name = snapshot if snapshot == other.snapshot_id else f"{snapshot} ({other.snapshot_id})"
        rows = [{"measure": measure.name, "value": str(measure)} for measure in judged.metrics]
        print_table(rows, f"On {name}: {judged.rows:,} test rows")
        print_classes(judged.classes, judged.curves)
        if judged.left_out:
            echo(f"Left out: {judged.left_out:,} test rows of events or persons that the head was trained on.")
    if separated:
        _print_out_of_scope(separated)


def _judge(warehouse: "Warehouse", folder: Path, snapshot: "Manifest") -> "Reevaluation":
    from rawless.heads.reevaluate import reevaluate_folder

    return reevaluate_folder(warehouse, folder, snapshot)


def _separate(warehouse: "Warehouse", folder: Path, snapshot: "Manifest") -> "OutOfScope":
    from rawless.heads.out_of_scope import evaluate_out_of_scope
    from rawless.heads.session import open_head

    return evaluate_out_of_scope(warehouse, open_head(folder), snapshot)


@app.command("list")
def list_(
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="List the heads of this encoder only: NAME@VERSION, or a fingerprint."),
    ] = None,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """List the heads, newest first, and whether each is live for its encoder on this machine."""
    from rawless.connect import open_warehouse
    from rawless.heads import registry
    from rawless.heads.deployment import live_by_space
    from rawless.local import home

    fingerprint = _fingerprint(encoder) if encoder else None
    heads = registry.heads(open_warehouse(warehouse), fingerprint=fingerprint)
    live = {name: live_by_space(home.heads(), name).values() for name in {head.head for head in heads}}
    rows = [
        {"head": f"{head.head}@{head.version}", "live": head.version in live[head.head], "kind": head.kind,
         "snapshot": head.snapshot_id, "encoder": head.fingerprint[:12], "created_at": head.created_at}
        for head in heads
    ]  # fmt: skip
    if json:
        print_json(rows)
    else:
        print_table(rows)


@app.command()
def export(
    reference: Reference,
    folder: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Copy a head's folder: the ONNX graph, its manifest and its evaluation."""
    from rawless.connect import open_warehouse
    from rawless.heads import registry
    from rawless.heads.publish import copy, folder_of
    from rawless.local import home

    head = registry.find(open_warehouse(warehouse), reference)
    manifest = copy(folder_of(head, home.heads()), folder)
    if json:
        print_json({"folder": str(folder), **_head_json(manifest, None)})
    else:
        encoder = f"{manifest.encoder}@{manifest.encoder_version}"
        echo(f"Wrote {manifest.head}@{manifest.version}, which takes vectors of {encoder}, to {folder}.")


def _fingerprint(encoder: str) -> str:
    from encoders.catalogue import lookup

    return lookup(encoder).fingerprint if "@" in encoder or encoder.endswith((".yaml", ".yml")) else encoder


def _write_suspects(path: Path, evaluation: "Evaluation | None") -> None:
    from rawless.cli.csv_file import write_csv
    from rawless.errors import UserError
    from rawless.heads.evaluation import SuspectedMislabel

    if evaluation is None:
        raise UserError(
            "The head has no evaluation, and so no suspected mislabels: --to needs a head that was trained."
        )
    write_csv(path, [SuspectedMislabel._fields, *evaluation.suspects])


def _head_json(manifest: "HeadManifest", evaluation: "Evaluation | None") -> dict[str, Any]:
    described = manifest.model_dump(mode="json")
    described["metrics"] = _measures_json(manifest.metrics)
    if evaluation is None:
        return described
    described["classes_measured"] = classes_json(evaluation.class_measures, evaluation.curves)
    return {**described, "evaluation": evaluation.model_dump(mode="json")}


def _measures_json(measures: Any) -> list[dict[str, Any]]:
    return [measure._asdict() for measure in measures]


def _print_head(manifest: "HeadManifest", evaluation: "Evaluation | None") -> None:
    echo(
        f"{manifest.head}@{manifest.version}: {manifest.kind} over {manifest.encoder}@{manifest.encoder_version}"
        + (f", trained on {manifest.snapshot_id}." if manifest.snapshot_id else ".")
    )
    if manifest.adapted:
        rows = ", ".join(f"{split} {rows:,}" for split, rows in manifest.adapted.rows.items())
        echo(f"Rows of its snapshot with an adapted vector: {manifest.adapted.total:,} ({rows}).")
    for tensor in (*manifest.inputs, *manifest.outputs):
        echo(f"  {tensor.name}: {tensor.type} {list(tensor.shape)}")
    if manifest.features:
        echo(f"Features beside the vector: {'; '.join(map(str, manifest.features))}.")
    if evaluation is None:
        return
    from rawless.heads.evaluation import WITHOUT_FEATURES

    baselines = {
        name: {measure.name: measure for measure in measures} for name, measures in evaluation.baselines.items()
    }
    print_table(
        [
            {"measure": measure.name, "head": str(measure)}
            | {name: str(known[measure.name]) for name, known in baselines.items() if measure.name in known}
            for measure in evaluation.measures
        ],
        f"On {evaluation.rows['test']:,} test rows, with 95% intervals",
    )
    if alone := baselines.get(WITHOUT_FEATURES):
        main = evaluation.main
        echo(f"Without the features its {main.name} is {alone[main.name]}, with them {main}.")
    print_classes(evaluation.class_measures, evaluation.curves)
    if evaluation.confusion and not evaluation.curves:
        echo("ROC-AUC and average precision of its classes were not stored: --snapshot measures them.")
    _print_domain(manifest, evaluation)
    _print_errors(evaluation)


def _print_domain(manifest: "HeadManifest", evaluation: "Evaluation") -> None:
    if manifest.domain is None or evaluation.abstention is None:
        return
    domain = manifest.domain
    echo(
        f"Out of domain: distances above {domain.threshold:.4g}, the {domain.quantile:g} quantile of validation. The "
        f"share of test that is: {evaluation.abstention}."
    )
    if evaluation.out_of_scope:
        _print_out_of_scope(evaluation.out_of_scope)


def _print_out_of_scope(found: "OutOfScope") -> None:
    print_table(
        [{"measure": measure.name, "value": str(measure)} for measure in found.measures],
        f"Out of scope: {found.rows:,} rows of {found.snapshot_id}, against {found.test_rows:,} test rows",
    )


def _print_errors(evaluation: "Evaluation") -> None:
    worst = sorted(evaluation.slices, key=lambda part: part.measure.value)[:_ROWS_SHOWN]
    slices = [
        {"of": part.of, "value": part.value, "rows": part.rows, part.measure.name: str(part.measure)} for part in worst
    ]
    mistakes = [
        mistake._asdict() | {"confidence": f"{mistake.confidence:.3f}"} for mistake in evaluation.mistakes[:_ROWS_SHOWN]
    ]
    suspects = [
        suspect._asdict() | {"suspicion": f"{suspect.suspicion:.3f}"} for suspect in evaluation.suspects[:_ROWS_SHOWN]
    ]
    for rows, title in (
        (slices, "Slices, the worst first"),
        (mistakes, f"{len(evaluation.mistakes):,} mistakes, the most confident first"),
        (suspects, f"{len(evaluation.suspects):,} suspected mislabels, the most suspect first"),
    ):
        if rows:
            print_table(rows, title)
