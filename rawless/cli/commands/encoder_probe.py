"""`rawless encoder probe`: the same head over several layers, poolings and interpolations of one model."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rawless.cli.commands.encoder import Ref, resolved
from rawless.cli.options import BatchSource, DeviceName, Json, Metadata, StreamFile, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress_steps

if TYPE_CHECKING:
    from rawless.lifecycle.layer_probe import Probed


def probe(
    ref: Ref,
    head_file: Annotated[Path, typer.Option("--head", help="The head file, with the snapshot of labels and splits.")],
    stream_file: StreamFile,
    source: BatchSource,
    metadata: Metadata = None,
    layers: Annotated[str, typer.Option("--layers", help="Separated by commas, as in -1,5,4.")] = "",
    poolings: Annotated[str, typer.Option("--poolings", help="Separated by commas, as in mean,cls.")] = "",
    interpolations: Annotated[
        str, typer.Option("--interpolations", help="For images: separated by commas, as in bicubic,nearest.")
    ] = "",
    picture: Annotated[Path | None, typer.Option("--picture", help="A drawing to write, as FILE.svg.")] = None,
    device: DeviceName = "auto",
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Encode a snapshot's events by variants of an encoder, and train the same head over each. Reads raw content."""
    from rawless.connect import open_key_source, open_warehouse
    from rawless.datasets.snapshots import find
    from rawless.errors import UserError
    from rawless.events.sources import open_bounded_source
    from rawless.events.stream import load_stream
    from rawless.heads.examples import open_task
    from rawless.heads.spec import load_head_spec
    from rawless.lifecycle import layer_probe
    from rawless.lifecycle.finetune import read_payloads
    from rawless.warehouse.table_streams import Tables

    if picture and not picture.absolute().parent.is_dir():
        raise UserError(f"--picture names {picture}, but its folder does not exist: create it, or correct the option.")
    spec, head, stream = resolved(ref, warehouse), load_head_spec(head_file), load_stream(stream_file)
    stream.check_modality(spec.ref, spec.modality, spec.reads)
    given = {"layer": _split(layers), "pooling": _split(poolings), "interpolation": _split(interpolations)}
    specs = layer_probe.variants(spec, given)
    opened = open_warehouse(warehouse)
    with progress_steps(f"Probing {spec.ref}") as report_step:
        report_step("reading")
        task = layer_probe.check_task(open_task(opened, head, find(opened, head.snapshot)))
        ids = [event for part in task.splits.values() for events in part.events for event in events]
        key = None if stream.subject == "none" else open_key_source(opened).load()
        events = open_bounded_source(source, stream, metadata, tables=lambda: Tables(opened))
        payloads = read_payloads(events, stream, key, ids)
        found = layer_probe.probe(task, specs, payloads, device, report_step)
    if picture:
        _draw(picture, f"{head.head} over variants of {spec.ref}", found)
    if json:
        rows = [{**asdict(each), "test": each.test._asdict()} for each in found]
        for row, each in zip(rows, found, strict=True):
            row["difference"] = each.difference and each.difference._asdict()
        print_json({"encoder": spec.ref, "snapshot_id": task.manifest.snapshot_id, "variants": rows})
        return
    _print(found)


def _split(values: str) -> list[str]:
    return [value.strip() for value in values.split(",") if value.strip()]


def _name(probed: "Probed") -> str:
    return ", ".join(f"{value}" for value in probed.values.values())


def _print(found: Sequence["Probed"]) -> None:
    name = found[0].test.name
    print_table(
        [
            {
                **each.values,
                "dimension": each.dimension,
                "validation": f"{each.validation:.3f}",
                f"test {name}": str(each.test),
                "more than as it is": _difference(each),
                "ms each": f"{each.milliseconds:.1f}",
            }
            for each in found
        ]
    )
    best = max(found, key=lambda each: each.validation)
    echo(f"The first line is the encoder as it is. The best on validation is {_name(best)}, over {best.rows:,} rows.")
    if not best.is_own:
        echo("It would be another encoder: change the spec, and give it the version that `rawless encoder diff` says.")


def _difference(probed: "Probed") -> str:
    found = probed.difference
    return "" if found is None else found.signed


def _draw(path: Path, title: str, found: Sequence["Probed"]) -> None:
    from rawless.errors import UserError
    from rawless.files import write_text
    from rawless.report.probe_chart import Drawn, draw

    variants = [Drawn(_name(each), each.test.value, each.test.low, each.test.high, each.is_own) for each in found]
    try:
        write_text(path, draw(title, f"{found[0].test.name} on test", variants))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({type(error).__name__}): name another file.") from None
