"""Image encoders: torchvision ResNets, from the bytes of a file to a vector."""

import math

import numpy as np
import numpy.typing as npt
import torch

from encoders import resnet
from encoders.batch_encoder import BatchEncoder
from encoders.decode import opened, pixels
from encoders.image_spec import ImagePreprocessing, ImageSpec
from encoders.limits import ImageLimits
from encoders.preprocess import crop, normalise, resized_size
from privacy import Reason, Rejected

BATCH = 8
CUDA_BATCH = 64
_HELD_BYTES = 64_000_000
"""Of prepared pixels, held at a time."""
_RESIZED_PIXELS = 50_000_000


class ImageEncoder(BatchEncoder[torch.Tensor]):
    """Decoding, resizing, the model, pooling and normalisation under one name. Items are image files."""

    def __init__(self, spec: ImageSpec, device: torch.device) -> None:
        self.spec: ImageSpec = spec
        self._device = device
        self._network = resnet.load(spec, device)
        self.budget = CUDA_BATCH if device.type == "cuda" else BATCH
        self.at_once = max(1, _HELD_BYTES // (3 * spec.preprocessing.crop**2))

    def _prepare(self, content: bytes, limits: ImageLimits) -> torch.Tensor:
        return prepare(content, self.spec.preprocessing, limits)

    def _cost(self, prepared: torch.Tensor) -> int:
        return 1

    def _vectors(self, batch: list[torch.Tensor]) -> npt.NDArray[np.float32]:
        images = normalise(torch.stack(batch).to(self._device), self.spec.preprocessing)
        with torch.inference_mode():
            vectors = self._network(images.contiguous(memory_format=torch.channels_last))
        values: npt.NDArray[np.float32] = vectors.float().cpu().numpy()
        return values


def prepare(content: bytes, preprocessing: ImagePreprocessing, limits: ImageLimits) -> torch.Tensor:
    """From the bytes of a file to pixels, uint8 of shape (3, crop, crop). Raises Rejected."""
    image = opened(content, limits)
    # A thin strip passes every limit as it is stored, and grows to gigabytes when its short side does.
    if math.prod(resized_size(image.size, preprocessing)) > _RESIZED_PIXELS:
        raise Rejected(Reason.TOO_MANY_PIXELS)
    return crop(pixels(image, preprocessing), preprocessing)
