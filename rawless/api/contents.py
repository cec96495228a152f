"""Items of a notebook as raw content for an encoder: texts, bytes, images, arrays of pixels, files and parts.

They are converted inside the privacy boundary and stay in memory; a message says position and type of an item only.
"""

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from encoders.spec import EncoderSpec
from rawless.content import PartModality
from rawless.content_parts import pack
from rawless.errors import UserError
from rawless.privacy import Raw, Reason, Rejected, guarded

Content = Raw[bytes] | Reason
_TAKES = {
    "text": "texts: give str, bytes of UTF-8, or the pathlib.Path of a file",
    "image": "images: give bytes, the pathlib.Path of a file, a PIL image or an array of uint8",
}
_SAVED_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Modes that a PNG stores as they are."""
_CONVERTED_MODES = ("CMYK", "YCbCr")


def contents(items: Iterable[Any], spec: EncoderSpec) -> list[Content]:
    """Return the content of each item, or the reason why it has none. A missing item is an empty one.

    Raises UserError for an item of a type that the encoder does not take.
    """
    if isinstance(items, str | bytes | Path | Mapping) or not isinstance(items, Iterable):
        raise UserError(
            f"encode takes a list of items, not a single {type(items).__name__}: write encode([item]) for one."
        )
    return [_content(item, spec, f"Item {number:,}") for number, item in enumerate(items)]


def _content(item: Any, spec: EncoderSpec, where: str) -> Content:
    if spec.modality != "parts":
        return _single(item, spec.modality, f"{where} is", spec.ref)
    if _is_missing(item):
        return Reason.EMPTY_PAYLOAD
    if not isinstance(item, Mapping):
        raise UserError(
            f"{where} is of type {type(item).__name__}, but {spec.ref} encodes events with the parts "
            f"{', '.join(spec.reads)}: give a dict of these."
        )
    if unknown := [name for name in item if name not in spec.reads]:
        raise UserError(
            f"{where} has {len(unknown):,} parts that {spec.ref} does not read: its parts are {', '.join(spec.reads)}."
        )
    given = {name: part for name, part in item.items() if not _is_missing(part)}
    parts = {
        name: _single(part, spec.reads[name], f"The part {name} of item {where.split()[1]} is", spec.ref)
        for name, part in given.items()
    }
    for part in parts.values():
        if isinstance(part, Reason):
            return part
    return _wrapped(lambda: pack({name: part.reveal() for name, part in parts.items() if isinstance(part, Raw)}))


def _single(item: Any, modality: PartModality, where: str, ref: str) -> Content:
    if _is_missing(item):
        return Reason.EMPTY_PAYLOAD
    if isinstance(item, bytes | bytearray | memoryview):
        return Raw(bytes(item))
    if isinstance(item, Path):
        return _wrapped(lambda: _file(item))
    if modality == "text" and isinstance(item, str):
        return _wrapped(lambda: item.encode("utf-8", "surrogatepass"))  # the encoder rejects what is no UTF-8
    if modality == "image" and isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim in (2, 3):
        return _wrapped(lambda: _png_of_pixels(item), Reason.UNDECODABLE_IMAGE)
    if modality == "image" and _is_image(item):
        return _wrapped(lambda: _png(item), Reason.UNDECODABLE_IMAGE)
    pixels = f" with {item.dtype} of {item.ndim} dimensions" if isinstance(item, np.ndarray) else ""
    raise UserError(f"{where} of type {type(item).__name__}{pixels}, but {ref} encodes {_TAKES[modality]}.")


def _wrapped(read: Callable[[], bytes], failure: Reason = Reason.INTERNAL) -> Content:
    """Return what `read` returns inside the boundary, or the reason why it failed, `failure` if that is unknown."""
    content = guarded(lambda: Raw(read()))
    return failure if content is Reason.INTERNAL else content


def _is_missing(item: Any) -> bool:
    """Return whether a frame would say that there is no item."""
    return item is None or type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, float) and item != item)


def _file(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe or a device might never end
            raise Rejected(Reason.OBJECT_UNREADABLE)
        return path.read_bytes()
    except FileNotFoundError:
        raise Rejected(Reason.OBJECT_NOT_FOUND) from None
    except OSError:
        raise Rejected(Reason.OBJECT_UNREADABLE) from None


def _is_image(item: Any) -> bool:
    return any(f"{kind.__module__}.{kind.__name__}" == "PIL.Image.Image" for kind in type(item).__mro__)


def _png_of_pixels(pixels: Any) -> bytes:
    from PIL import Image

    return _png(Image.fromarray(pixels))


def _png(image: Any) -> bytes:
    """Return an image as a PNG with the same pixels, colour profile and orientation."""
    if image.mode in _CONVERTED_MODES:
        image = image.convert("RGB")
    if image.mode not in _SAVED_MODES:
        raise Rejected(Reason.UNSUPPORTED_IMAGE_FORMAT)
    file = BytesIO()
    image.save(file, "PNG", compress_level=1, exif=image.getexif())
    return file.getvalue()
