"""Decoding images in a child."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from encoders.pixels import Pixels, read_pixels
from rawless.privacy import Reason

if TYPE_CHECKING:
    from encoders.image_spec import ImagePreprocessing
    from rawless.content import ImageLimits


def read(options: bytes, content: bytes, reserve: Callable[[int], None]) -> list[Pixels | Reason]:
    """See `encoders.child.__main__.Task`: what `read_pixels` returns."""

    def reserved(pixels: int) -> AbstractContextManager[None]:
        reserve(pixels)
        return nullcontext()

    return read_pixels(content, *_parsed(options), reserved)


@lru_cache
def _parsed(options: bytes) -> "tuple[list[ImagePreprocessing], ImageLimits]":
    preprocessings, limits = json.loads(options, object_hook=lambda fields: SimpleNamespace(**fields))  # they are valid
    return cast("list[ImagePreprocessing]", preprocessings), cast("ImageLimits", limits)
