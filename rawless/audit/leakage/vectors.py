"""The vectors that are attacked: those of an encoder, as they are written or as they are before."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from encoders.encoder import Encoded, Encoder
from encoders.spec import Vector
from rawless.privacy import Raw, Reason

Release = Callable[[Encoded | Reason, Raw[bytes]], Encoded | Reason]
"""Returns what encoding a content resulted in as it is written, such as with noise."""


class Vectors(NamedTuple):
    """The vectors of the contents that the encoder accepts, and their positions among the contents."""

    vectors: Vector
    """Of shape (n, d)."""
    positions: npt.NDArray[np.intp]


def vectors_of(encoder: Encoder, contents: Sequence[Raw[bytes]], release: Release | None = None) -> Vectors:
    """Return the vectors of contents, in order: as they are written with `release`, else as the encoder computes them.

    Contents that the encoder rejects have none.
    """
    outcomes = encoder.encode(contents)
    if release is not None:
        outcomes = [release(outcome, content) for outcome, content in zip(outcomes, contents, strict=True)]
    found = [(position, each.vector) for position, each in enumerate(outcomes) if isinstance(each, Encoded)]
    vectors = np.array([vector for _, vector in found], np.float32).reshape(len(found), encoder.spec.dimension)
    return Vectors(vectors, np.array([position for position, _ in found], np.intp))
