"""Rows with few different vectors, many of which are near each other, and their near duplicates by plain Python."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

COSINE = 0.9
_TOLERANCE = 1e-9


class Row(NamedTuple):
    """What the search reads of a row."""

    event_id: str
    split: str
    embedding: tuple[float, ...]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Rows of all splits with vectors of 3 components: some are zero, equal, opposite, or of another length."""
    components = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])
    vectors = draw(st.lists(st.tuples(*[components] * 3), min_size=1, max_size=12))
    splits = [draw(st.sampled_from(["train", "validation", "test"])) for _ in vectors]
    return [Row(f"e-{at}", split, vector) for at, (split, vector) in enumerate(zip(splits, vectors, strict=True))]


def near_duplicates(rows: Sequence[Row]) -> tuple[set[str], set[str]]:
    """Return the rows outside of train that are equal to one of train, and those that are near one."""
    train = {row.embedding for row in rows if row.split == "train" and any(row.embedding)}
    others = [row for row in rows if row.split != "train" and any(row.embedding)]
    near = {
        row.event_id for row in others if any(_cosine(row.embedding, each) >= COSINE - _TOLERANCE for each in train)
    }
    return {row.event_id for row in others if row.embedding in train}, near


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)
