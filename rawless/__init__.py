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
    "build_snapshot",
    "frame",
    "hugging_face",
    "load_encoder",
    "load_head_spec",
    "load_stream",
    "lookup_encoder",
    "open_dataset",
    "open_head",
    "open_task",
    "open_warehouse",
    "torch_dataset",
    "train_head",
]

if TYPE_CHECKING:
    from encoders.catalogue import lookup as lookup_encoder
    from encoders.load import load as load_encoder
    from rawless.connect import open_warehouse
    from rawless.datasets.build import build as build_snapshot
    from rawless.datasets.dataset import open_dataset
    from rawless.errors import RawlessError, Unavailable, UserError
    from rawless.events.stream import load_stream
    from rawless.heads.examples import open_task
    from rawless.heads.readers import frame, hugging_face, torch_dataset
    from rawless.heads.session import open_head
    from rawless.heads.spec import load_head_spec
    from rawless.heads.training import train as train_head
    from rawless.privacy import Raw, Rejected

    __version__: str
else:
    _SOURCES = {
        "Raw": "rawless.privacy:Raw",
        "RawlessError": "rawless.errors:RawlessError",
        "Rejected": "rawless.privacy:Rejected",
        "Unavailable": "rawless.errors:Unavailable",
        "UserError": "rawless.errors:UserError",
        "build_snapshot": "rawless.datasets.build:build",
        "frame": "rawless.heads.readers:frame",
        "hugging_face": "rawless.heads.readers:hugging_face",
        "load_encoder": "encoders.load:load",
        "load_head_spec": "rawless.heads.spec:load_head_spec",
        "load_stream": "rawless.events.stream:load_stream",
        "lookup_encoder": "encoders.catalogue:lookup",
        "open_dataset": "rawless.datasets.dataset:open_dataset",
        "open_head": "rawless.heads.session:open_head",
        "open_task": "rawless.heads.examples:open_task",
        "open_warehouse": "rawless.connect:open_warehouse",
        "torch_dataset": "rawless.heads.readers:torch_dataset",
        "train_head": "rawless.heads.training:train",
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
