"""Learning a projection from contents with labels, where raw content may be read."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from encoders.learned_projection import AffineMap, learn
from rawless.audit.defences.labelled_file import LabelledItems
from rawless.audit.leakage.words import words_of
from rawless.errors import UserError
from rawless.privacy import Raw, Reason, guarded


def learn_projection(
    items: LabelledItems, keep: Sequence[str], lose: Sequence[str], words: int, dimension: int | None
) -> AffineMap:
    """Return the projection that keeps some columns of labels, and loses others and the most frequent words.

    Raises UserError for too few items, or too large a dimension.
    """
    rows, size = items.vectors.shape
    if rows < size:
        raise UserError(
            f"There are {rows:,} items, but a projection of vectors of {size} values needs as many items at least: "
            "give a larger file."
        )
    if dimension is not None and dimension > size:
        raise UserError(f"--dimension is {dimension}, but the encoder's vectors have {size} values: lower it.")
    present = _most_frequent(items.contents, words) if words else None
    if isinstance(present, Reason):
        raise UserError("--lose-words needs texts in UTF-8: leave it out for images.")
    return learn(
        items.vectors,
        [items.labels[name] for name in keep],
        [items.labels[name] for name in lose],
        present,
        dimension,
    )


def _most_frequent(contents: Sequence[Raw[bytes]], count: int) -> npt.NDArray[np.bool_] | Reason:
    """Return which item contains which of the most frequent words."""

    def read() -> npt.NDArray[np.bool_]:
        bags = [words_of(item.reveal().decode()) for item in contents]
        frequent = [word for word, _ in Counter(word for bag in bags for word in bag).most_common(count)]
        return np.array([[word in bag for word in frequent] for bag in bags])

    return guarded(read)
