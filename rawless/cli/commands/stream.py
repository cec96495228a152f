"""`rawless stream check`: validate a stream file."""

import math
from pathlib import Path
from typing import Annotated

import typer

from rawless.cli.options import Json
from rawless.cli.output import echo, print_json, warn

app = typer.Typer(help="Validate stream files.", no_args_is_help=True)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The stream file.")], json: Json = False) -> None:
    """Check the fields and patterns of a stream file, and that the catalogue has its encoders."""
    from encoders.catalogue import lookup
    from encoders.image_formats import check_installed
    from rawless.events.stream import load_stream

    stream = load_stream(file)
    check_installed(stream.limits.formats)
    for ref in stream.encoders:
        stream.check_modality(ref, lookup(ref).modality)
    warn(stream.leakage_warning())
    bits = {"attributes": math.ceil(stream.attribute_bits), "event_id": math.ceil(stream.id_bits)}
    if json:
        print_json({"ok": True, **stream.model_dump(mode="json"), "bits_per_event": bits})
        return
    echo(f"{file} is valid: {stream.stream}, {stream.modality}, encoded by {', '.join(stream.encoders)}.")
    echo(f"Attributes kept: {', '.join(stream.attributes) or 'none'}. Subject: {stream.subject}.")
    echo(
        f"A producer can put at most {bits['attributes']:,} bits of other information into an event's "
        f"attributes and {bits['event_id']:,} into its id."
    )
    echo(f"Limits: payloads of {stream.max_bytes:,} bytes, events {stream.limits.max_age.days} days old.")
    if stream.modality == "image":
        limits, formats = stream.limits, ", ".join(stream.limits.formats)
        echo(f"Images: at most {limits.max_pixels:,} pixels and {limits.max_side:,} a side, as {formats}.")
    if stream.uri_prefixes:
        echo(f"Objects are read from {', '.join(stream.uri_prefixes)}.")
