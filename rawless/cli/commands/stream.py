"""`rawless stream check`: judging a stream file."""

from pathlib import Path
from typing import Annotated

import typer

from encoders.catalogue import lookup
from rawless.cli.options import Json
from rawless.cli.output import print_json, say, warn
from rawless.events.stream import load_stream

app = typer.Typer(help="Stream files.", no_args_is_help=True)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The stream file.")], json: Json = False) -> None:
    """Check a stream file: fields, patterns, encoders of the catalogue."""
    stream = load_stream(file)
    for ref in stream.encoders:
        stream.check_modality(ref, lookup(ref).modality)
    warn(stream.leakage_warning())
    if json:
        print_json({"ok": True, **stream.model_dump(mode="json")})
        return
    say(f"{file} is valid: {stream.stream}, {stream.modality}, encoded by {', '.join(stream.encoders)}.")
    say(f"Attributes kept: {', '.join(stream.attributes) or 'none'}; subject {stream.subject}.")
    say(f"Payloads up to {stream.max_bytes:,} bytes, events up to {stream.limits.max_age.days} days old.")
    if stream.modality == "image":
        limits, formats = stream.limits, ", ".join(stream.limits.formats)
        say(f"Pictures up to {limits.max_pixels:,} pixels and {limits.max_side:,} a side, as {formats}.")
    if stream.uri_prefixes:
        say(f"Objects are read below {', '.join(stream.uri_prefixes)}.")
