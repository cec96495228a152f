"""The Beam coder of every type that contains raw content. It refuses to encode.

A shuffle, state, a side input or a sample has to encode its elements. With this coder such a step fails when it runs,
before anything is written. It has its own module because only pipelines import Beam.
"""

from typing import Any, NoReturn

from apache_beam import coders


class RefusingCoder(coders.Coder):
    """Raises TypeError instead of encoding or decoding."""

    def encode(self, value: Any) -> NoReturn:
        """Raise TypeError."""
        raise TypeError("raw content refuses to be encoded: it must not be in a shuffle, state or side input")

    def decode(self, encoded: bytes) -> NoReturn:
        """Raise TypeError."""
        raise TypeError("raw content refuses to be decoded")

    def estimate_size(self, value: Any) -> int:
        """Return 1 for every element: size sampling of a runner must neither encode an element nor learn its size."""
        return 1

    def is_deterministic(self) -> bool:
        """Return True, which has no effect because nothing is encoded."""
        return True

    def to_type_hint(self) -> Any:
        """Return Any."""
        return Any
