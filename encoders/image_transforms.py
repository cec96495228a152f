"""Resizing, cropping and normalising of decoded images, as torchvision and Hugging Face's image processors do it."""

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import convert_image_dtype, crop, pil_to_tensor, resize

from encoders.image_spec import ImagePreprocessing
from encoders.resizing import crop_corner, resize_and_crop_picture, resized_size


def resize_and_crop(image: Image.Image | torch.Tensor, preprocessing: ImagePreprocessing) -> torch.Tensor:
    """Return the pixels of an RGB image after resizing and the central crop, uint8 of shape (3, crop, crop).

    An image that is a tensor, of shape (3, height, width), is resized on its device.
    """
    if isinstance(image, Image.Image) and preprocessing.antialias:
        return _tensor(resize_and_crop_picture(image, preprocessing))
    pixels = _tensor(image) if isinstance(image, Image.Image) else image
    width, height = resized_size((pixels.shape[2], pixels.shape[1]), preprocessing)
    mode = InterpolationMode(preprocessing.interpolation)
    resized = resize(pixels, [height, width], interpolation=mode, antialias=preprocessing.antialias)
    left, top = crop_corner((width, height), preprocessing)
    # The crop of a tensor is a view, which would keep the whole resized image in memory.
    cropped: torch.Tensor = crop(resized, top, left, preprocessing.crop, preprocessing.crop)
    return cropped.contiguous()


def _tensor(image: Image.Image) -> torch.Tensor:
    pixels: torch.Tensor = pil_to_tensor(image)
    return pixels


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
