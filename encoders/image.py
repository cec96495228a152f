"""Image encoders: torchvision ResNets, from the bytes of a file to a vector."""

import math
import os
from collections.abc import Sequence

import torch

from encoders import resnet
from encoders.batch_encoder import BatchEncoder
from encoders.batcher import Budget
from encoders.image_formats.decode import opened, pixels
from encoders.image_spec import ImagePreprocessing, ImageSpec
from encoders.preprocess import crop, normalise, resized_size
from encoders.runtimes import Inputs
from encoders.runtimes.eager import Eager
from encoders.weighted_semaphore import Allowance
from rawless.content import ImageLimits
from rawless.privacy import Reason, Rejected

BATCH = 8
CUDA_BATCH = 64
BATCHES_HELD = 4
_HELD_BYTES = 64_000_000
"""Of prepared pixels, held at a time."""
_RESIZED_PIXELS = 50_000_000
_decoded = Allowance(max(_RESIZED_PIXELS, 12_500_000 * (os.cpu_count() or 1)))
"""Pixels decoded at a time, by all threads: a photograph of a phone a core, or one of the largest that are allowed."""
_EXAMPLES = (2, 1)
"""Pictures of the batches that runtimes are compared on."""


class ImageEncoder(BatchEncoder[torch.Tensor]):
    """Decoding, resizing, the model, pooling and normalisation under one name. Items are image files."""

    def __init__(self, spec: ImageSpec, device: torch.device) -> None:
        self._preprocessing = spec.preprocessing
        self._cuda = device.type == "cuda"
        super().__init__(spec, Eager(_Pixels(spec), device), budget(spec.preprocessing.crop, cuda=self._cuda))

    def _prepare(self, content: bytes, limits: ImageLimits) -> torch.Tensor:
        return prepare(content, self._preprocessing, limits)

    def _cost(self, prepared: torch.Tensor) -> int:
        return 1

    def inputs(self, batch: Sequence[torch.Tensor]) -> Inputs:
        """Pixels, uint8 of shape (batch, 3, crop, crop)."""
        images = torch.empty((len(batch), *batch[0].shape), dtype=torch.uint8, pin_memory=self._cuda)
        torch.stack(list(batch), out=images)
        return (images,)

    def _examples(self) -> list[Inputs]:
        numbers, side = torch.Generator().manual_seed(0), self._preprocessing.crop
        shapes = [(count, 3, side, side) for count in _EXAMPLES]
        return [(torch.randint(0, 256, shape, dtype=torch.uint8, generator=numbers),) for shape in shapes]


class _Pixels(torch.nn.Module):
    """From pixels, uint8 of shape (batch, 3, crop, crop), to vectors of shape (batch, dimension)."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self._preprocessing = spec.preprocessing
        self._resnet = resnet.load(spec)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._resnet(normalise(images, self._preprocessing))
        return vectors


def budget(crop: int, *, cuda: bool) -> Budget:
    """Of pictures that are cut to squares of `crop` pixels a side."""
    batch = CUDA_BATCH if cuda else BATCH
    places = min(BATCHES_HELD * batch, max(1, _HELD_BYTES // (3 * crop**2)))
    return Budget(batch, run_cost=1, places=places, wait_seconds=0.02 if cuda else 0.005)


def prepare(content: bytes, preprocessing: ImagePreprocessing, limits: ImageLimits) -> torch.Tensor:
    """From the bytes of a file to pixels, uint8 of shape (3, crop, crop). Raises Rejected."""
    image = opened(content, limits)
    # A thin strip passes every limit as it is stored, and grows to gigabytes when its short side does.
    resized = math.prod(resized_size(image.size, preprocessing))
    if resized > _RESIZED_PIXELS:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    with _decoded.take(max(math.prod(image.size), resized)):
        return crop(pixels(image, preprocessing), preprocessing)
