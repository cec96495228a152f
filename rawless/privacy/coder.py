"""The Beam coder of everything that holds raw content: it refuses.

A shuffle, state, a side input or a sample has to encode its elements. With this coder such a step fails
when it runs, before anything is written. Kept apart from `privacy.raw`, since only the pipelines know Beam.
"""

from typing import Any, NoReturn

from apache_beam import coders


class RefusingCoder(coders.Coder):
    """Raises TypeError instead of encoding or decoding."""

    def encode(self, value: Any) -> NoReturn:
        """Raise TypeError."""
        raise TypeError("raw content refuses to be encoded: no shuffle, state or side input may hold it")

    def decode(self, encoded: bytes) -> NoReturn:
        """Raise TypeError."""
        raise TypeError("raw content refuses to be decoded")

    def estimate_size(self, value: Any) -> int:
        """One, whatever the element: the runner's size sampling must neither encode nor learn a size."""
        return 1

    def is_deterministic(self) -> bool:
        """Moot: nothing is encoded."""
        return True

    def to_type_hint(self) -> Any:
        """Anything."""
        return Any
