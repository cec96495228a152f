"""`rawless stream check`: validate a stream file."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rawless.cli.options import Json, WarehouseFile
from rawless.cli.output import echo, print_json, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawless.warehouse.leakage_gate import GatedMetric

app = typer.Typer(help="Validate stream files.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The stream file.")], warehouse: WarehouseFile = None, json: Json = False
) -> None:
    """Check the fields and patterns of a stream file, and that the catalogue has its encoders.

    For a stream with a leakage gate, say also whether the last audits of its encoders, in the warehouse, pass it.
    """
    from encoders.catalogue import lookup
    from encoders.image_formats import check_installed
    from encoders.query_role import refuse_documents
    from encoders.remembering import memory_bytes
    from rawless.connect import open_warehouse
    from rawless.events.stream import load_stream
    from rawless.warehouse.encoder_registry import resolve
    from rawless.warehouse.leakage_gate import gated_metrics

    stream = load_stream(file)
    check_installed(stream.limits.formats)
    opened = open_warehouse(warehouse) if stream.leakage or warehouse else None
    specs = {ref: resolve(lambda: opened, ref) if opened else lookup(ref) for ref in stream.encoders}
    for ref, spec in specs.items():
        stream.check_modality(ref, spec.modality, spec.reads)
        refuse_documents(spec, f"An encoder of the stream {stream.stream}")
    gate = gated_metrics(opened, stream, specs) if opened else []
    if warning := stream.leakage_warning():
        warn(warning)
    bits = {"attributes": math.ceil(stream.attribute_bits), "event_id": math.ceil(stream.id_bits)}
    entries = stream.unchanged.remember if stream.unchanged else 0
    memory = sum(memory_bytes(spec.dimension, entries) for spec in specs.values())
    if json:
        found = {"bits_per_event": bits, "memory_bytes": memory, "gate": _rows(gate)}
        print_json({"ok": True, **stream.model_dump(mode="json"), **found})
        return
    echo(f"{file} is valid: {stream.stream}, {stream.modality}, encoded by {', '.join(stream.encoders)}.")
    echo(f"Attributes kept: {', '.join(stream.attributes) or 'none'}. Subject: {stream.subject}.")
    echo(
        f"A producer can put at most {bits['attributes']:,} bits of other information into an event's "
        f"attributes and {bits['event_id']:,} into its id."
    )
    for name, part in stream.parts.items():
        echo(f"The part {name}: {part.modality}, of at most {part.max_bytes:,} bytes.")
    echo(f"Limits: payloads of {stream.max_bytes:,} bytes, events {stream.limits.max_age.days} days old.")
    if stream.has_images:
        limits, formats = stream.limits, ", ".join(stream.limits.formats)
        echo(f"Images: at most {limits.max_pixels:,} pixels and {limits.max_side:,} a side, as {formats}.")
    if entries:
        echo(
            f"Unchanged content: each worker process remembers the vectors of up to {entries:,} contents for each "
            f"encoder, in at most {memory / 1e6:,.1f} MB."
        )
    if stream.uri_prefixes:
        echo(f"Objects are read from {', '.join(stream.uri_prefixes)}.")
    for metric in gate:
        sentence = metric.explain(is_local=warehouse is None)
        echo(f"Gate {'passed' if metric.passes else 'not passed'} by {sentence}")


def _rows(gate: "Sequence[GatedMetric]") -> list[dict[str, Any]]:
    """Return what is not in the stream file as well."""
    fields = ("encoder", "encoder_fingerprint", "metric", "state", "measured", "audited_at", "ticket", "waived_until")
    return [{**{name: getattr(metric, name) for name in fields}, "passes": metric.passes} for metric in gate]
