"""Contents with labels and their vectors, for what is learned or measured where raw content may be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from encoders.encoder import Encoder
from encoders.spec import Vector
from rawless.audit.leakage.records import read_records
from rawless.audit.leakage.vectors import vectors_of
from rawless.errors import UserError
from rawless.privacy import Raw

MAX_LABELS = 1_000
MAX_ROWS = 100_000


@dataclass(frozen=True)
class LabelledItems:
    """The items of a file that have every label and could be encoded."""

    contents: Sequence[Raw[bytes]]
    vectors: Vector = field(repr=False)
    """Of shape (n, dimension)."""
    labels: Mapping[str, Sequence[str]] = field(repr=False)
    """By column, one of each item."""

    def take(self, rows: npt.NDArray[np.intp]) -> "LabelledItems":
        """Return some of the items."""
        labels = {name: [values[row] for row in rows] for name, values in self.labels.items()}
        return LabelledItems([self.contents[row] for row in rows], self.vectors[rows], labels)


def read_labelled(
    path: Path, option: str, columns: Sequence[str], encoder: Encoder, max_rows: int = MAX_ROWS, seed: int = 0
) -> LabelledItems:
    """Return the items of a file that an option names, with the named columns. Raises UserError."""
    spec = encoder.spec
    records = read_records(path, option, spec.modality, max_rows, seed).chosen
    labelled = [record for record in records if all(name in record.columns.reveal() for name in columns)]
    for name in columns:
        if not any(name in record.columns.reveal() for record in records):
            raise UserError(f"{option} names {path}, in which no record has the column {name}: name another column.")
    vectors, positions = vectors_of(encoder, [record.content for record in labelled])
    if not len(vectors):
        raise UserError(f"{option} names {path}, which has no {spec.modality} that {spec.ref} accepts: name another.")
    labels = {name: [labelled[position].columns.reveal()[name] for position in positions] for name in columns}
    for name, values in labels.items():
        if not 2 <= len(set(values)) <= MAX_LABELS:
            raise UserError(
                f"The column {name} of {path} has {len(set(values)):,} different values, but a label has 2 to "
                f"{MAX_LABELS:,}: name another column."
            )
    return LabelledItems([labelled[position].content for position in positions], vectors, labels)
