"""Comparing the vectors of an imported encoder with those that its model's own library computes.

It runs where raw content may be read, and keeps it in memory only: a comparison is counts and a cosine.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from encoders.encoder import Encoded, Encoder
from encoders.spec import EncoderSpec, Vector
from rawless.errors import Unavailable, UserError
from rawless.events.file_format import open_text
from rawless.lifecycle.library_vectors import Reference
from rawless.lifecycle.parity import Item, read_items
from rawless.privacy import Raw, Reason, guarded

SMALLEST_COSINE = 0.99999
"""What fp32 arithmetic in another order leaves of equal vectors, with room."""
_BATCH = 32


@dataclass
class Comparison:
    """How many items were compared, how many were not and why, and the smallest cosine."""

    compared: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    smallest_cosine: float | None = None
    """None when nothing was compared."""

    @property
    def agrees(self) -> bool:
        """Whether all vectors that were compared, and at least one, are those of the library."""
        return self.smallest_cosine is not None and self.smallest_cosine >= SMALLEST_COSINE


def compare(encoder: Encoder, reference: Reference, path: Path) -> Comparison:
    """Return the comparison of the lines of a text file, or of the images in a folder.

    Raises UserError if the path is not of that kind, Unavailable if the library fails or cannot be read.
    """
    comparison = Comparison()
    items = _images(path, encoder.spec) if encoder.spec.modality == "image" else _lines(path)
    while batch := list(islice(items, _BATCH)):
        readable = [item for item in batch if isinstance(item, Raw)]
        outcomes = encoder.encode(readable)
        reasons = [item for item in [*batch, *outcomes] if isinstance(item, Reason)]
        comparison.rejected.update(reason.value for reason in reasons)
        pairs = [(item, got.vector) for item, got in zip(readable, outcomes, strict=True) if isinstance(got, Encoded)]
        if pairs:
            cosine = guarded(_smallest_cosine, reference, pairs)
            if isinstance(cosine, Reason):
                raise Unavailable("The library of the model failed for an item that the encoder encodes.")
            comparison.compared += len(pairs)
            smallest = comparison.smallest_cosine
            comparison.smallest_cosine = min(cosine, 1.0 if smallest is None else smallest)
    return comparison


def _smallest_cosine(reference: Reference, pairs: Sequence[tuple[Raw[bytes], Vector]]) -> float:
    theirs = reference([item.reveal() for item, _ in pairs]).astype(np.float64)
    ours = np.stack([vector for _, vector in pairs]).astype(np.float64)
    if theirs.shape != ours.shape:
        return -1.0
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (ours * theirs).sum(axis=1) / lengths
    return float(np.nan_to_num(cosines, nan=-1.0).min())


def _lines(path: Path) -> Iterator[Item]:
    """Yield the lines of a text file."""
    if not path.is_file():
        raise UserError(f"--compare names {path}, but a text encoder is compared on the lines of a text file.")
    with open_text(path) as file:
        for line in file:
            yield Raw(line.rstrip(b"\r\n"))


def _images(path: Path, spec: EncoderSpec) -> Iterator[Item]:
    """Yield the files of a folder and of those in it."""
    if not path.is_dir():
        raise UserError(f"--compare names {path}, but an image encoder is compared on the images of a folder.")
    return read_items(f"files:{path}", spec)
