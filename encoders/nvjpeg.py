"""Decoding JPEGs on CUDA by nvJPEG. Its pixels are not libjpeg's: it is part of an encoder's identity."""

from io import BytesIO
from typing import cast

import torch
from PIL import Image

from encoders.image_formats.decode import decode_pixels
from encoders.image_formats.exif import orientation
from encoders.image_spec import ImagePreprocessing
from encoders.image_transforms import resize_and_crop
from encoders.pixels import Pixels


def takes(image: Image.Image) -> bool:
    """Return whether nvJPEG decodes an image whose header was read: a JPEG that is grey or YCbCr, not CMYK."""
    return image.format == "JPEG" and image.mode in ("L", "RGB")


def decode_and_resize(image: Image.Image, preprocessing: ImagePreprocessing) -> Pixels:
    """Return the pixels after decoding, resizing and the central crop on CUDA, in CPU memory, of shape (crop, crop, 3).

    Raises Rejected for a file that Pillow does not decode either, else the error of CUDA.
    """
    from torchvision.io import ImageReadMode, decode_jpeg

    file = torch.frombuffer(bytearray(cast(BytesIO, vars(image)["fp"]).getvalue()), dtype=torch.uint8)
    try:
        pixels = decode_jpeg(file, mode=ImageReadMode.RGB, device="cuda")
    except RuntimeError:
        decode_pixels(image, preprocessing)
        raise
    if preprocessing.exif_orientation == "apply":
        pixels = turned(pixels, orientation(image.info.get("exif") or b"") or 1)
    found: Pixels = resize_and_crop(pixels, preprocessing).permute(1, 2, 0).contiguous().cpu().numpy()
    return found


def turned(pixels: torch.Tensor, exif_orientation: int) -> torch.Tensor:
    """Return pixels of shape (3, height, width) as an orientation of EXIF asks, from 1 to 8."""
    if exif_orientation >= 5:
        pixels = pixels.transpose(1, 2)
    flips = [axis for axis, flipped in ((2, (2, 3, 6, 7)), (1, (3, 4, 7, 8))) if exif_orientation in flipped]
    return pixels.flip(flips)
