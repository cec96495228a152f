"""`ImageModel`: the bytes of image files to batches of pixels, for any network that takes RGB images."""

import math
import os
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from encoders import nvjpeg
from encoders.batcher import Budget
from encoders.family import Inputs, Model
from encoders.image_formats.decode import decode_pixels, read_header
from encoders.image_spec import ImagePreprocessing
from encoders.image_transforms import PixelNormalisation, resize_and_crop, resized_size
from encoders.weighted_semaphore import WeightedSemaphore
from rawless.content import ImageLimits
from rawless.privacy import Reason, Rejected

BATCH = 8
CUDA_BATCH = 64
_BATCHES_IN_PROGRESS = 4
_PREPARED_BYTES = 64_000_000
"""Bytes of prepared pixels in memory at a time."""
_RESIZED_PIXELS = 50_000_000
"""A thin strip is within all limits as it is stored, but takes gigabytes once its short side is resized."""
_decoding_pixels = WeightedSemaphore(max(_RESIZED_PIXELS, 12_500_000 * (os.cpu_count() or 1)))
"""Pixels decoded at a time by all threads: a phone's photograph for each core, or one of the largest allowed images."""
_EXAMPLE_SIZES = (2, 1)
"""Images in each of the batches that runtimes are compared on."""


class ImageModel(Model[torch.Tensor]):
    """An image network behind decoding, resizing, cropping and normalising. Items are image files."""

    def __init__(self, network: torch.nn.Module, preprocessing: ImagePreprocessing, *, cuda: bool) -> None:
        """`network` maps normalised pixels of shape (batch, 3, crop, crop) to vectors of shape (batch, dimension)."""
        self.network = torch.nn.Sequential(PixelNormalisation(preprocessing), network).eval()
        self.budget = budget(preprocessing.crop, cuda=cuda)
        self._preprocessing = preprocessing
        self._cuda = cuda

    def prepare(self, content: bytes, limits: ImageLimits) -> torch.Tensor:
        """See `Model.prepare`: pixels, as the function `prepare` returns them."""
        return prepare(content, self._preprocessing, limits)

    @property
    def reading(self) -> Hashable | None:
        """See `Model.reading`: how an image is decoded, if that does not depend on its size afterwards."""
        of = self._preprocessing
        return (ImageModel, of.exif_orientation, of.alpha) if of.decoder == "pillow" else None

    def prepare_for_all(
        self, content: bytes, limits: ImageLimits, models: Sequence[Model[Any]]
    ) -> list[torch.Tensor | Reason]:
        """See `Model.prepare_for_all`: pixels of an image that is decoded once."""
        preprocessings = [model._preprocessing for model in models if isinstance(model, ImageModel)]
        return prepare_for_all(content, preprocessings, limits)

    def cost(self, prepared: torch.Tensor) -> int:
        """See `Model.cost`: 1, since all images have the same size."""
        return 1

    def inputs(self, batch: Sequence[torch.Tensor]) -> Inputs:
        """See `Model.inputs`: pixels, uint8 of shape (batch, 3, crop, crop)."""
        images = torch.empty((len(batch), *batch[0].shape), dtype=torch.uint8, pin_memory=self._cuda)
        # Not by torch, whose threads would wait for cores on which other threads decode.
        np.stack([pixels.numpy() for pixels in batch], out=images.numpy())
        return (images,)

    def examples(self) -> list[Inputs]:
        """See `Model.examples`: random pixels."""
        generator, side = torch.Generator().manual_seed(0), self._preprocessing.crop
        shapes = [(size, 3, side, side) for size in _EXAMPLE_SIZES]
        return [(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),) for shape in shapes]


def budget(crop: int, *, cuda: bool) -> Budget:
    """Return the batch limits for images that are cropped to squares of `crop` pixels a side."""
    batch = CUDA_BATCH if cuda else BATCH
    capacity = min(_BATCHES_IN_PROGRESS * batch, max(1, _PREPARED_BYTES // (3 * crop**2)))
    return Budget(batch, run_cost=1, capacity=capacity, wait_seconds=0.02 if cuda else 0.005, runs=2 if cuda else 1)


def prepare(content: bytes, preprocessing: ImagePreprocessing, limits: ImageLimits) -> torch.Tensor:
    """Return the pixels of an image file, uint8 of shape (3, crop, crop). Raises Rejected."""
    image = read_header(content, limits)
    if (resized := math.prod(resized_size(image.size, preprocessing))) > _RESIZED_PIXELS:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    with _decoding_pixels.acquire(max(math.prod(image.size), resized)):
        if preprocessing.decoder == "nvjpeg" and nvjpeg.takes(image):
            return nvjpeg.decode_and_resize(image, preprocessing)
        return resize_and_crop(decode_pixels(image, preprocessing), preprocessing)


def prepare_for_all(
    content: bytes, preprocessings: Sequence[ImagePreprocessing], limits: ImageLimits
) -> list[torch.Tensor | Reason]:
    """Return what `prepare` returns by each preprocessing, or its reason; the image is decoded once.

    All of them decode alike, by Pillow. Raises Rejected for an image that none can take.
    """
    image = read_header(content, limits)
    sizes = [math.prod(resized_size(image.size, each)) for each in preprocessings]
    if min(sizes) > _RESIZED_PIXELS:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    fitting = [size for size in sizes if size <= _RESIZED_PIXELS]
    with _decoding_pixels.acquire(max(math.prod(image.size), *fitting)):
        decoded: Image.Image | Reason
        try:
            decoded = decode_pixels(image, preprocessings[0])
        except Rejected as rejected:
            decoded = rejected.reason
        outcomes: list[torch.Tensor | Reason] = []
        for preprocessing, size in zip(preprocessings, sizes, strict=True):
            if size > _RESIZED_PIXELS:
                outcomes.append(Reason.TOO_MANY_PIXELS)
            else:
                outcomes.append(decoded if isinstance(decoded, Reason) else resize_and_crop(decoded, preprocessing))
        return outcomes
