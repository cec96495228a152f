"""Comparing the vectors of an imported encoder with those that its model's own library computes.

It runs where raw content may be read, and keeps it in memory only: a comparison is counts and a cosine.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from encoders.encoder import Encoded, Encoder
from encoders.importing.importer import Imported
from encoders.importing.options import ImportOptions
from encoders.importing.text_fields import POOLING
from rawless.errors import Unavailable, UserError
from rawless.events.file_format import open_text
from rawless.privacy import Raw, Reason, Rejected, guarded

SMALLEST_COSINE = 0.99999
"""What fp32 arithmetic in another order leaves of equal vectors, with room."""
_BATCH = 32
_MAX_BYTES = 100_000_000
"""Of an image; a larger one is counted as payload_too_large."""
Vectors: TypeAlias = npt.NDArray[np.float32]
Reference: TypeAlias = Callable[[Sequence[bytes]], Vectors]
"""Contents to the library's vectors, of shape (contents, dimension)."""


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
    items: Iterator[Raw[bytes] | Reason] = _images(path) if encoder.spec.modality == "image" else _lines(path)
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
            comparison.smallest_cosine = min(cosine, comparison.smallest_cosine or 1.0)
    return comparison


def _smallest_cosine(reference: Reference, pairs: Sequence[tuple[Raw[bytes], Vectors]]) -> float:
    theirs = reference([item.reveal() for item, _ in pairs]).astype(np.float64)
    ours = np.stack([vector for _, vector in pairs]).astype(np.float64)
    if theirs.shape != ours.shape:
        return -1.0
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (ours * theirs).sum(axis=1) / lengths
    return float(np.nan_to_num(cosines, nan=-1.0).min())


def _lines(path: Path) -> Iterator[Raw[bytes]]:
    """Yield the lines of a text file."""
    if not path.is_file():
        raise UserError(f"--compare names {path}, but a text encoder is compared on the lines of a text file.")
    with open_text(path) as file:
        for line in file:
            yield Raw(line.rstrip(b"\r\n"))


def _images(path: Path) -> Iterator[Raw[bytes] | Reason]:
    """Yield the files of a folder, in the order of their names, without those whose names start with a dot."""
    if not path.is_dir():
        raise UserError(f"--compare names {path}, but an image encoder is compared on the images of a folder.")
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        if entry.is_file() and not entry.name.startswith("."):
            yield guarded(_read, entry.path)


def _read(path: str) -> Raw[bytes]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path would be one more copy of a customer's file name
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        raise Rejected(Reason.OBJECT_UNREADABLE) from None
    if len(content) > _MAX_BYTES:
        raise Rejected(Reason.PAYLOAD_TOO_LARGE)
    return Raw(content)


def library_of(imported: Imported, options: ImportOptions) -> Reference:
    """Return the library's own encoder of the folder that was imported, changed only by what `options` say.

    Raises UserError when the library is not installed, or cannot do what an option says.
    """
    return _REFERENCES[imported.spec.modality](imported, options)


def _sentence_transformer(imported: Imported, options: ImportOptions) -> Reference:
    try:
        import sentence_transformers
        from sentence_transformers.sentence_transformer.modules import Pooling
    except ImportError:
        raise UserError(
            "--compare needs sentence-transformers for texts: install it with `pip install sentence-transformers`, or "
            "leave the option out."
        ) from None
    if imported.spec.precision != "fp32" or options.layer not in (None, -1):
        raise UserError("--compare is for the last layer in fp32, as the library computes it: leave the option out.")
    try:
        model = _loaded(imported.folder.path, sentence_transformers.SentenceTransformer)
    except Exception as error:  # noqa: BLE001 - each library has its own errors
        raise Unavailable(
            f"sentence-transformers cannot load {imported.folder.source} ({type(error).__name__})."
        ) from None
    names = {ours: theirs for theirs, ours in POOLING.items()}
    for module in model:
        if options.pooling is not None and isinstance(module, Pooling):
            module.pooling_mode = names[options.pooling]
    if options.max_tokens is not None:
        model.max_seq_length = options.max_tokens

    def encode(contents: Sequence[bytes]) -> Vectors:
        texts = [content.decode() for content in contents]
        vectors: Vectors = model.encode_document(
            texts, prompt=options.prompt_document, truncate_dim=options.dimension, show_progress_bar=False
        )
        return vectors

    return encode


def _loaded(folder: Path, load: Callable[..., Any]) -> Any:
    """Return what a class of the library loads of a folder: in fp32 on the CPU, without a hub and without its code."""
    import torch

    return load(
        str(folder),
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": torch.float32},
    )


_REFERENCES: Mapping[str, Callable[[Imported, ImportOptions], Reference]] = {"text": _sentence_transformer}
