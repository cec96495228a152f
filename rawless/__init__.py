"""Rawless: a privacy-preserving embedding event pipeline that reads raw content and stores only embeddings.

Importing this package is cheap: each public name is imported from its module when it is first used.
"""

from typing import TYPE_CHECKING

from rawless.telemetry import opt_out as _opt_out

_opt_out()

__all__ = [
    "Raw",
    "RawlessError",
    "Rejected",
    "Unavailable",
    "UserError",
    "encoder",
    "head",
    "open",
]

if TYPE_CHECKING:
    from rawless.api.encoder import encoder
    from rawless.api.home import open_head as head
    from rawless.api.home import open_home as open  # noqa: A004 - only as rawless.open
    from rawless.errors import RawlessError, Unavailable, UserError
    from rawless.privacy import Raw, Rejected

    __version__: str
else:
    _SOURCES = {
        "Raw": "rawless.privacy:Raw",
        "RawlessError": "rawless.errors:RawlessError",
        "Rejected": "rawless.privacy:Rejected",
        "Unavailable": "rawless.errors:Unavailable",
        "UserError": "rawless.errors:UserError",
        "encoder": "rawless.api.encoder:encoder",
        "head": "rawless.api.home:open_head",
        "open": "rawless.api.home:open_home",
    }
    """The module and name of each public name."""

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        from importlib import import_module, metadata

        if name == "__version__":
            return metadata.version("rawless")
        if name not in _SOURCES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, attribute = _SOURCES[name].partition(":")
        try:
            return globals().setdefault(name, getattr(import_module(module), attribute))
        except ImportError as error:
            from rawless.extras import explain

            raise explain(error, f"rawless.{name}") or error from error

    def __dir__() -> list[str]:
        return [*globals(), *_SOURCES, "__version__"]
