"""The sources that `--source SCHEME:LOCATION` can name, one module for each scheme.

To add a source, write a module here that defines

- a frozen dataclass that implements `BoundedSource` or `UnboundedSource` of `rawless.events.source`, and
- `SCHEME`, which says how a location becomes that source.

The modules of this folder are discovered; each is named like its scheme. A bounded source needs nothing else. An
unbounded one also needs a reader in `rawless.worker` and, if Beam reads it too, a module of the scheme's name in
`pipelines`: see `pipelines.unbounded` (this package does not import Beam).
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from rawless.errors import UserError
from rawless.events.source import BoundedSource, Scheme, Source, SourceOptions, Tables, no_tables
from rawless.events.stream import Stream

_MODULES = sorted(module.name for module in pkgutil.iter_modules(__path__))
SCHEMES: dict[str, Scheme] = {name: import_module(f"{__name__}.{name}").SCHEME for name in _MODULES}


def open_source(
    text: str, stream: Stream, metadata: Path | str | None = None, tables: Callable[[], Tables] = no_tables
) -> Source:
    """Return the source that `--source` names, with the CSV that `--metadata` names. `tables` opens BigQuery.

    Raises UserError if the scheme is unknown or the source cannot be read. Of an unbounded source only the name is
    checked here; whoever reads it connects to it.
    """
    return _open(text, SCHEMES, _options(stream, metadata, None, tables))


def open_message_source(text: str, stream: Stream) -> Source:
    """Return the unbounded source that `--source` names; see `open_source`."""
    unbounded = {name: scheme for name, scheme in SCHEMES.items() if not scheme.is_bounded}
    name, _, location = text.partition(":")
    if location and name in SCHEMES.keys() - unbounded:
        raise UserError(
            f"--source is a {name}: source, which has no messages: name one of {_usages(unbounded)}, or read it by "
            "`rawless ingest`."
        )
    return _open(text, unbounded, _options(stream, None, None, no_tables))


def open_bounded_source(
    text: str,
    stream: Stream,
    metadata: Path | str | None = None,
    max_bytes: int | None = None,
    tables: Callable[[], Tables] = no_tables,
) -> BoundedSource:
    """Return the bounded source that `--source` names; see `open_source`.

    Payloads are read up to `max_bytes`, by default the stream's limit.
    """
    bounded = {name: scheme for name, scheme in SCHEMES.items() if scheme.is_bounded}
    source = _open(text, bounded, _options(stream, metadata, max_bytes, tables))
    assert source.is_bounded  # noqa: S101 - no other scheme was allowed
    return source


def _options(
    stream: Stream, metadata: Path | str | None, max_bytes: int | None, tables: Callable[[], Tables]
) -> SourceOptions:
    named = None if metadata is None else str(metadata)
    return SourceOptions(stream, named, max_bytes or stream.max_bytes, tables)


def _usages(schemes: dict[str, Scheme]) -> str:
    return ", ".join(scheme.usage for scheme in schemes.values())


def _open(text: str, schemes: dict[str, Scheme], options: SourceOptions) -> Source:
    name, _, location = text.partition(":")
    if name not in schemes or not location:
        raise UserError(f"--source is {text!r}, but must be one of: {_usages(schemes)}.")
    if options.metadata is not None and not schemes[name].takes_metadata:
        takers = ", ".join(f"{scheme.name}:" for scheme in schemes.values() if scheme.takes_metadata)
        raise UserError(f"--metadata is for {takers} sources only; leave it out for {name}:.")
    source = schemes[name].open(location, options)
    source.check()
    return source
