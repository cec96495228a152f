"""Decoding images in the children of this process."""

import json
from collections.abc import Sequence
from functools import lru_cache

from encoders.image_spec import ImagePreprocessing
from encoders.isolation.pool import Pool, Request
from encoders.pixels import Pixels, decoding
from rawless.content import ImageLimits
from rawless.privacy import Reason

POOL = Pool("encoders.child.images:read", decoding.acquire)
_HEADER_BYTES = 12
"""Of memory for each pixel that an image may have, which a library allocates when it reads the header of a WebP."""
_FIELDS = set(ImageLimits.model_fields)
"""A stream's limits have others, too."""


def read_pixels(
    content: bytes, preprocessings: Sequence[ImagePreprocessing], limits: ImageLimits
) -> list[Pixels | Reason]:
    """Return what `encoders.pixels.read_pixels` returns, from a child of this process. Raises what it does.

    Raises Rejected with `decoder_crashed` or `decoder_timeout` too, and Unavailable when no child can be started.
    """
    of = tuple(preprocessings)
    expected = [(each.crop, each.crop, 3) if each.antialias else 3 * limits.max_pixels for each in of]
    return POOL.prepare(Request(_written(of, limits), content, _HEADER_BYTES * limits.max_pixels, expected))


@lru_cache
def _written(preprocessings: tuple[ImagePreprocessing, ...], limits: ImageLimits) -> bytes:
    each = [preprocessing.model_dump(mode="json") for preprocessing in preprocessings]
    return json.dumps([each, limits.model_dump(mode="json", include=_FIELDS)]).encode()
