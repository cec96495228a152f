"""`ImageModel`: the bytes of image files to batches of pixels, for any network that takes RGB images."""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch

from encoders import isolation, nvjpeg
from encoders.batcher import Budget
from encoders.family import Inputs, Model
from encoders.image_formats import detect_format
from encoders.image_formats.decode import read_header
from encoders.image_spec import ImagePreprocessing
from encoders.image_transforms import PixelNormalisation, resize_and_crop
from encoders.pixels import RESIZED_PIXELS, Pixels, ReadPixels, decoding, read_pixels
from encoders.resizing import resized_size
from rawless.content import ImageLimits
from rawless.privacy import Reason, Rejected

BATCH = 8
CUDA_BATCH = 64
_BATCHES_IN_PROGRESS = 4
_PREPARED_BYTES = 64_000_000
"""Bytes of prepared pixels in memory at a time."""
_EXAMPLE_SIZES = (2, 1)
"""Images in each of the batches that runtimes are compared on."""


class ImageModel(Model[Pixels]):
    """An image network behind decoding, resizing, cropping and normalising. Items are image files."""

    def __init__(
        self, load_network: Callable[[], torch.nn.Module], preprocessing: ImagePreprocessing, *, cuda: bool
    ) -> None:
        """`load_network` returns one from normalised pixels of shape (batch, 3, crop, crop) to vectors."""
        self.load_network = load_network
        self.extend_network(lambda network: torch.nn.Sequential(PixelNormalisation(preprocessing), network).eval())
        self.budget = budget(preprocessing.crop, cuda=cuda)
        self._preprocessing = preprocessing
        self._cuda = cuda
        self._memory_format = torch.channels_last if cuda else torch.contiguous_format
        self._is_isolated = False

    def isolate(self) -> None:
        """See `Model.isolate`: images are decoded and resized by Pillow in children (`encoders.isolation`).

        nvJPEG stays in this process: it needs the CUDA context, and its pixels are on the device.
        """
        self._is_isolated = True

    @property
    def _read(self) -> ReadPixels:
        return isolation.read_pixels if self._is_isolated else read_pixels

    def prepare(self, content: bytes, limits: ImageLimits) -> Pixels:
        """See `Model.prepare`: pixels, as the function `prepare` returns them."""
        return prepare(content, self._preprocessing, limits, self._read)

    @property
    def reading(self) -> Hashable | None:
        """See `Model.reading`: how an image is decoded, if that does not depend on its size afterwards."""
        of = self._preprocessing
        return (ImageModel, of.exif_orientation, of.alpha) if of.decoder == "pillow" else None

    def prepare_for_all(
        self, content: bytes, limits: ImageLimits, models: Sequence[Model[Any]]
    ) -> list[Pixels | Reason]:
        """See `Model.prepare_for_all`: pixels of an image that is decoded once."""
        preprocessings = [model._preprocessing for model in models if isinstance(model, ImageModel)]
        return _prepare_for_all(content, preprocessings, limits, self._read)

    def cost(self, prepared: Pixels) -> int:
        """See `Model.cost`: 1, since all images have the same size."""
        return 1

    def inputs(self, batch: Sequence[Pixels]) -> Inputs:
        """See `Model.inputs`: pixels, uint8 of shape (batch, 3, crop, crop).

        On CUDA they are channels last in memory, as decoders write them and as the device computes with them. To
        transpose the pixels of an image takes longer than all other work of a batch for it.
        """
        height, width, channels = batch[0].shape
        shape = len(batch), channels, height, width
        images = torch.empty(shape, dtype=torch.uint8, memory_format=self._memory_format, pin_memory=self._cuda)
        # Not by torch, whose threads would wait for cores on which other threads decode.
        if self._memory_format is torch.channels_last:
            _copy(batch, images.permute(0, 2, 3, 1).numpy())
        else:
            np.stack([pixels.transpose(2, 0, 1) for pixels in batch], out=images.numpy())
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


def prepare(
    content: bytes, preprocessing: ImagePreprocessing, limits: ImageLimits, read: ReadPixels = read_pixels
) -> Pixels:
    """Return the pixels of an image file, of shape (crop, crop, 3). Raises Rejected."""
    if preprocessing.decoder == "nvjpeg" and detect_format(content) == "jpeg":
        pixels = _decoded_by_nvjpeg(content, preprocessing, limits)
        if pixels is not None:
            return pixels
    (outcome,) = _prepare_for_all(content, [preprocessing], limits, read)
    if isinstance(outcome, Reason):
        raise Rejected(outcome)
    return outcome


def _prepare_for_all(
    content: bytes, preprocessings: Sequence[ImagePreprocessing], limits: ImageLimits, read: ReadPixels
) -> list[Pixels | Reason]:
    return [
        outcome if isinstance(outcome, Reason) else _cropped(outcome, preprocessing)
        for outcome, preprocessing in zip(read(content, preprocessings, limits), preprocessings, strict=True)
    ]


def _decoded_by_nvjpeg(content: bytes, preprocessing: ImagePreprocessing, limits: ImageLimits) -> Pixels | None:
    """Return the pixels of a JPEG, or None if nvJPEG does not take it. Raises Rejected."""
    image = read_header(content, limits)
    if not nvjpeg.takes(image):
        return None
    if (resized := math.prod(resized_size(image.size, preprocessing))) > RESIZED_PIXELS:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    with decoding.acquire(max(math.prod(image.size), resized)):
        return nvjpeg.decode_and_resize(image, preprocessing)


def _cropped(pixels: Pixels, preprocessing: ImagePreprocessing) -> Pixels:
    """Return pixels of shape (crop, crop, 3); those for preprocessing without antialiasing are resized first."""
    if preprocessing.antialias:
        return pixels
    with decoding.acquire(math.prod(pixels.shape[:2])):
        resized = resize_and_crop(torch.from_numpy(pixels).permute(2, 0, 1), preprocessing)
        return np.ascontiguousarray(resized.permute(1, 2, 0).numpy())


def _copy(images: Sequence[Pixels], batch: Pixels) -> None:
    """Copy images into a batch of shape (batch, height, width, 3).

    This keeps Python's lock, which NumPy gives up for each image: to get it back takes longer than to copy an image.
    """
    size, room = images[0].nbytes, batch.data.cast("B")
    for number, pixels in enumerate(images):
        room[number * size : (number + 1) * size] = pixels.data.cast("B")
