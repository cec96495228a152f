"""A saliency map as a transparent picture, to be laid over its image: it contains no pixel of the image."""

from io import BytesIO

import numpy as np
from PIL import Image

from rawless.lifecycle.saliency import ImageSaliency

_LONGEST = 1024
"""Pixels of the longer side."""
_COLOUR = (213, 94, 0)
_UNSEEN = (128, 128, 128, 170)
_MOST = 220
"""How opaque the part is that matters most, of 255."""


def picture(saliency: ImageSaliency) -> bytes:
    """Return a PNG with the sides' ratio of the image: orange where it matters, grey where the encoder sees nothing."""
    scale = min(1.0, _LONGEST / max(saliency.size))
    width, height = (max(1, round(side * scale)) for side in saliency.size)
    left, top, right, bottom = saliency.box
    corners = round(left * width), round(top * height), round(right * width), round(bottom * height)
    seen = max(1, corners[2] - corners[0]), max(1, corners[3] - corners[1])
    opacity = Image.fromarray((saliency.heat * _MOST).astype(np.uint8)).resize(seen, Image.Resampling.BICUBIC)
    layer = Image.new("RGBA", seen, _COLOUR)
    layer.putalpha(opacity)
    canvas = Image.new("RGBA", (width, height), _UNSEEN)
    canvas.paste(layer, corners[:2])
    file = BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()
