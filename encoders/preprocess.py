"""From decoded pixels to the model's input, as torchvision's transforms for classification weights do it."""

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import center_crop, convert_image_dtype, normalize, pil_to_tensor, resize

from encoders.image_spec import ImagePreprocessing


def resized_size(size: tuple[int, int], preprocessing: ImagePreprocessing) -> tuple[int, int]:
    """Width and height after resizing, before the crop."""
    width, height = size
    short = preprocessing.resize
    longer = int(short * max(size) / min(size))
    return (short, longer) if width <= height else (longer, short)


def crop(image: Image.Image, preprocessing: ImagePreprocessing) -> torch.Tensor:
    """An RGB picture resized and cut: uint8 of shape (3, crop, crop)."""
    mode = InterpolationMode(preprocessing.interpolation)
    picture = image if preprocessing.antialias else pil_to_tensor(image)
    resized = resize(picture, [preprocessing.resize], interpolation=mode, antialias=preprocessing.antialias)
    cut = center_crop(resized, [preprocessing.crop])
    # A tensor's cut is a view, and would hold the whole resized picture in memory.
    return cut.contiguous() if isinstance(cut, torch.Tensor) else pil_to_tensor(cut)


def normalise(batch: torch.Tensor, preprocessing: ImagePreprocessing) -> torch.Tensor:
    """Pixels of shape (batch, 3, crop, crop) from uint8 to float32, less the mean, by the deviation."""
    scaled = convert_image_dtype(batch, torch.float32)
    normalised: torch.Tensor = normalize(scaled, list(preprocessing.mean), list(preprocessing.std))
    return normalised
