"""What a call says when a library of another extra of the package is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rawless.errors import UserError


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Raise UserError, which names the extra to install, if a library that the block imports is not installed."""
    try:
        yield
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        if isinstance(error, UserError) or not library or find_spec(library):
            raise
        raise UserError(f"{what} needs {library}: run `pip install 'rawless[{extra}]'`.") from None
