"""Pictures that look like blurred photographs, and image files with a marker in each place that can contain one."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import scipy.fft
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from rawless.audit.canary.markers import Markers
from rawless.content import ImageFormat

SIZE = (128, 96)
_LOW = 12
"""Frequencies of a picture in each direction."""
_NOISE = 4
_PROFILE_NAME = "sRGB built-in"
_SHARED = 64
"""Bytes at the start of a file that all files of its format share; finding them would prove nothing."""
_PILLOW_NAMES = {"jp2": "JPEG2000", "heic": "HEIF"}


def draw(markers: Markers, place: str) -> Image.Image:
    """Return a new picture of random low frequencies with some noise, like a photograph that is out of focus."""
    generator = np.random.default_rng(markers.chance.getrandbits(128))
    height, width = SIZE[1], SIZE[0]
    frequencies = np.zeros((3, height, width))
    falloff = 1 / (1 + np.add.outer(np.arange(_LOW), np.arange(_LOW)))
    frequencies[:, :_LOW, :_LOW] = generator.standard_normal((1, _LOW, _LOW)) * falloff
    frequencies[:, :_LOW, :_LOW] += generator.standard_normal((3, _LOW, _LOW)) * falloff / 3
    frequencies[:, 0, 0] = 0
    waves = scipy.fft.idctn(frequencies, axes=(1, 2), norm="ortho")
    waves = waves / np.abs(waves).max() * 110 + 128 + generator.normal(0, _NOISE, waves.shape)
    picture = Image.fromarray(np.clip(waves, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    markers.add_picture(place, picture)
    return picture


def files(markers: Markers, formats: tuple[ImageFormat, ...], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield what each valid file contains besides its picture, and the file; those within a stream's limit only."""
    for image_format in formats:
        place = f"a picture in a {image_format.upper()} file"
        yield from _within(markers, place, encode(draw(markers, place), image_format), max_bytes)
    if "jpeg" in formats:
        exif = Image.Exif()
        exif[ExifTags.Base.Artist] = markers.name("a name in EXIF")
        exif[ExifTags.Base.ImageDescription] = markers.address("an address in EXIF")
        comment = markers.word("a comment in a JPEG file")
        content = encode(draw(markers, "a picture with EXIF"), "jpeg", exif=exif, comment=comment)
        yield from _within(markers, "EXIF", content, max_bytes)
    if "png" in formats:
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Author", markers.name("a text in a PNG file"))
        texts.add_itxt("Title", markers.address("a compressed text in a PNG file"), zip=True)
        content = encode(draw(markers, "a picture with texts"), "png", pnginfo=texts)
        yield from _within(markers, "a PNG text", content, max_bytes)
        content = encode(draw(markers, "a picture with a profile"), "png", icc_profile=_profile(markers))
        yield from _within(markers, "an ICC profile", content, max_bytes)


def _within(markers: Markers, place: str, content: bytes, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    if len(content) <= max_bytes:
        markers.add(f"the file of {place}", content[_SHARED:])
        yield place, content


def encode(picture: Image.Image, image_format: ImageFormat, **options: object) -> bytes:
    """Return a picture as an image file."""
    file = BytesIO()
    picture.save(file, _PILLOW_NAMES.get(image_format, image_format.upper()), **options)
    return file.getvalue()


def _profile(markers: Markers) -> bytes:
    """Return a working ICC profile whose name is a marker."""
    name = markers.word("the name of an ICC profile", 7)[: len(_PROFILE_NAME)]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(_PROFILE_NAME.encode("utf-16-be"), name.encode("utf-16-be"))
