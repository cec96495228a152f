"""The sources that `--source SCHEME:LOCATION` can name, one module for each scheme.

To add a source, write a module here that defines

- a frozen dataclass that implements `BoundedSource` or `UnboundedSource` of `rawless.events.source`, and
- `SCHEME`, which says how a location becomes that source;

then add the module to `_MODULES`. A bounded source needs nothing else. An unbounded one also needs the Beam step that
reads its messages, which is registered under its scheme in `pipelines.unbounded` (this package does not import Beam).
"""

from pathlib import Path

from rawless.errors import UserError
from rawless.events.source import BoundedSource, Scheme, Source, SourceOptions
from rawless.events.sources import files, jsonl, pubsub
from rawless.events.stream import Stream

_MODULES = (jsonl, files, pubsub)
SCHEMES: dict[str, Scheme] = {module.SCHEME.name: module.SCHEME for module in _MODULES}


def open_source(text: str, stream: Stream, metadata: Path | None = None) -> Source:
    """Return the source that `--source` names, with the CSV that `--metadata` names.

    Raises UserError if the scheme is unknown or the source cannot be read. Of an unbounded source only the name is
    checked here; `pipelines.unbounded` connects to it.
    """
    return _open(text, SCHEMES, SourceOptions(stream, metadata, stream.max_bytes))


def open_bounded_source(
    text: str, stream: Stream, metadata: Path | None = None, max_bytes: int | None = None
) -> BoundedSource:
    """Return the bounded source that `--source` names; see `open_source`.

    Payloads are read up to `max_bytes`, by default the stream's limit.
    """
    bounded = {name: scheme for name, scheme in SCHEMES.items() if scheme.is_bounded}
    source = _open(text, bounded, SourceOptions(stream, metadata, max_bytes or stream.max_bytes))
    assert source.is_bounded  # noqa: S101 - no other scheme was allowed
    return source


def _open(text: str, schemes: dict[str, Scheme], options: SourceOptions) -> Source:
    name, _, location = text.partition(":")
    if name not in schemes or not location:
        usages = ", ".join(scheme.usage for scheme in schemes.values())
        raise UserError(f"--source is {text!r}, but must be one of: {usages}.")
    if options.metadata is not None and not schemes[name].takes_metadata:
        takers = ", ".join(f"{scheme.name}:" for scheme in schemes.values() if scheme.takes_metadata)
        raise UserError(f"--metadata is for {takers} sources only; leave it out for {name}:.")
    source = schemes[name].open(location, options)
    source.check()
    return source
