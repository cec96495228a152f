"""`rawless stream check`: judging a stream file."""

from pathlib import Path
from typing import Annotated

import typer

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from events.stream import Stream, load_stream
from privacy import UserError
from rawless.options import Json
from rawless.output import print_json, say, warn

app = typer.Typer(help="Stream files.", no_args_is_help=True)


def check_modality(stream: Stream, spec: EncoderSpec) -> None:
    """Raise UserError when the encoder takes another kind of content than the stream carries."""
    if spec.modality != stream.modality:
        raise UserError(
            f"The stream {stream.stream} is {stream.modality}, but its encoder {spec.ref} takes {spec.modality}: "
            "name an encoder of the stream's modality."
        )


def ungated(stream: Stream) -> str | None:
    """The warning for a stream whose encoders are held to no leakage gate."""
    if stream.leakage is not None:
        return (
            f"{stream.stream} has a leakage gate, which this version cannot hold yet: `ingest` will refuse the stream."
        )
    return f"{stream.stream} has no leakage gate: nothing holds its encoders to what their embeddings may leak."


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The stream file.")], json: Json = False) -> None:
    """Check a stream file: fields, patterns, encoders of the catalogue."""
    stream = load_stream(file)
    for ref in stream.encoders:
        check_modality(stream, lookup(ref))
    if sentence := ungated(stream):
        warn(sentence)
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
