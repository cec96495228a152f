"""Resizing and cropping by Pillow, as torchvision does it with images of Pillow, without importing torch."""

from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from encoders.image_spec import ImagePreprocessing


def resized_size(size: tuple[int, int], preprocessing: "ImagePreprocessing") -> tuple[int, int]:
    """Return width and height after resizing, before the crop."""
    width, height = size
    short = preprocessing.resize
    if preprocessing.fit == "exact":
        return short, short
    longer = int(short * max(size) / min(size))
    return (short, longer) if width <= height else (longer, short)


def crop_corner(size: tuple[int, int], preprocessing: "ImagePreprocessing") -> tuple[int, int]:
    """Return left and top of the central crop in an image of a size, which is not smaller."""
    left, top = (side - preprocessing.crop for side in size)
    if preprocessing.crop_rounding == "down":
        return left // 2, top // 2
    return round(left / 2), round(top / 2)


def resize_and_crop_picture(image: Image.Image, preprocessing: "ImagePreprocessing") -> Image.Image:
    """Return an image after resizing with antialiasing and the central crop."""
    method = Image.Resampling[preprocessing.interpolation.upper()]
    resized = image.resize(resized_size(image.size, preprocessing), method)
    left, top = crop_corner(resized.size, preprocessing)
    return resized.crop((left, top, left + preprocessing.crop, top + preprocessing.crop))
