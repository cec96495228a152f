"""What a call says when a library of another extra of the package is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from rawless.extras import explain


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Raise UserError, which names the extra to install, if a library that the block imports is not installed."""
    try:
        yield
    except ImportError as error:
        if missing := explain(error, what, extra):
            raise missing from None
        raise
