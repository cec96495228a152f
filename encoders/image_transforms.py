"""Resizing, cropping and normalising of decoded images, as torchvision and Hugging Face's image processors do it."""

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import center_crop, convert_image_dtype, crop, pil_to_tensor, resize

from encoders.image_spec import ImagePreprocessing


def resized_size(size: tuple[int, int], preprocessing: ImagePreprocessing) -> tuple[int, int]:
    """Return width and height after resizing, before the crop."""
    width, height = size
    short = preprocessing.resize
    if preprocessing.fit == "exact":
        return short, short
    longer = int(short * max(size) / min(size))
    return (short, longer) if width <= height else (longer, short)


def resize_and_crop(image: Image.Image | torch.Tensor, preprocessing: ImagePreprocessing) -> torch.Tensor:
    """Return the pixels of an RGB image after resizing and the central crop, uint8 of shape (3, crop, crop).

    An image that is a tensor, of shape (3, height, width), is resized on its device.
    """
    mode = InterpolationMode(preprocessing.interpolation)
    source = image if preprocessing.antialias or isinstance(image, torch.Tensor) else pil_to_tensor(image)
    width, height = resized_size(_size(image), preprocessing)
    resized = resize(source, [height, width], interpolation=mode, antialias=preprocessing.antialias)
    side = preprocessing.crop
    if preprocessing.crop_rounding == "down":
        cropped = crop(resized, (height - side) // 2, (width - side) // 2, side, side)
    else:
        cropped = center_crop(resized, [side])
    # The crop of a tensor is a view, which would keep the whole resized image in memory.
    return cropped.contiguous() if isinstance(cropped, torch.Tensor) else pil_to_tensor(cropped)


def _size(image: Image.Image | torch.Tensor) -> tuple[int, int]:
    """Return width and height."""
    return (image.shape[2], image.shape[1]) if isinstance(image, torch.Tensor) else image.size


def normalise(batch: torch.Tensor, preprocessing: ImagePreprocessing) -> torch.Tensor:
    """Return uint8 pixels of shape (batch, 3, crop, crop) as float32, minus the mean, divided by the deviation."""
    normalised: torch.Tensor = PixelNormalisation(preprocessing)(batch)
    return normalised


class PixelNormalisation(torch.nn.Module):
    """Pixels, uint8 of shape (batch, 3, crop, crop), to normalised float32 of the same shape.

    torchvision's function computes the same, but waits for the device, which a CUDA graph cannot.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, preprocessing: ImagePreprocessing) -> None:
        super().__init__()
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name), dtype=torch.float32).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the normalised images."""
        scaled: torch.Tensor = convert_image_dtype(images, torch.float32)
        return (scaled - self.mean) / self.std
