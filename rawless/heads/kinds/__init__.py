"""The kinds of heads, one module each.

To add a kind, add a module to this package and a test of it: no other code lists the kinds. The module's name is the
kind's name in head files. It defines `KIND`, an instance of a subclass of `rawless.heads.head_kind.HeadKind`:

- `spec_type`, a subclass of `HeadSpec`, declares the kind's own options in a head file;
- `interface` says what the head takes;
- `build` returns the untrained torch module, a `rawless.heads.modules.Head` with its loss and its ONNX nodes;
- `baselines` yields what the head is compared with.

Everything else has a default in `HeadKind`. Importing this package imports neither a kind nor torch, so that code that
only reads heads stays light.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawless.heads.head_kind import HeadKind

NAMES = tuple(sorted(module.name for module in iter_modules(__path__)))


def find(name: str) -> "HeadKind[Any]":
    """Return the kind of that name, which is one of `NAMES`."""
    kind: HeadKind[Any] = import_module(f"{__name__}.{name}").KIND
    return kind
