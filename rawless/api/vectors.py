"""What a scientist has as vectors, as the float32 matrix that a head takes. No message contains a value of a vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rawless.errors import UserError

Matrix = npt.NDArray[np.float32]
COLUMN, RIGHT_COLUMN = "embedding", "right_embedding"
"""The columns of a snapshot's frame that contain vectors."""


@dataclass(frozen=True)
class Needed:
    """The vectors that a head takes."""

    width: int
    head: str
    encoder: str

    def __str__(self) -> str:
        return f"the head {self.head} takes vectors of {self.width:,} numbers by {self.encoder}"


def matrix(values: Any, needed: Needed) -> Matrix:
    """Return vectors as float32 of shape (rows, width); a single vector is one row.

    Takes arrays and tensors of numbers, lists of them, and columns of a frame. Raises UserError that names the row for
    anything but finite vectors of the width.
    """
    if isinstance(values, pd.DataFrame):
        values = _numeric(values, needed)
    values = _plain(values)
    if isinstance(values, np.ndarray) and values.dtype != object:
        return _checked(values, needed)
    rows = list(values) if _is_sequence(values) else None
    if rows is None:
        raise UserError(
            f"The vectors are of type {type(values).__name__}, but {needed}: give a frame, an array, a tensor or a "
            "list."
        )
    if rows and all(isinstance(each, int | float | np.number) for each in rows):
        return _checked(np.asarray(rows), needed)
    return _checked(_stacked([_plain(each) for each in rows], needed), needed)


def _numeric(frame: pd.DataFrame, needed: Needed) -> Any:
    """Return the column of vectors of a frame, or all columns if these are the numbers of a vector each."""
    if COLUMN in frame.columns:
        return frame[COLUMN]
    if frame.shape[1] == needed.width and all(kind.kind in "iuf" for kind in frame.dtypes):
        return frame.to_numpy()
    raise UserError(
        f"The frame has no column {COLUMN!r}, but {needed}: name the column so, or give the vectors themselves."
    )


def _plain(values: Any) -> Any:
    """Return tensors, series and what else is an array as a numpy array; lists as they are."""
    if hasattr(values, "detach"):  # a torch tensor, without importing torch
        tensor = values.detach().cpu()
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if isinstance(values, pd.Series):
        return values.to_numpy()
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    if isinstance(values, list | tuple | np.ndarray) or not hasattr(values, "__array__"):
        return values
    return np.asarray(values)


def _is_sequence(values: Any) -> bool:
    return isinstance(values, Sequence | np.ndarray) and not isinstance(values, str | bytes)


def _stacked(rows: list[Any], needed: Needed) -> npt.NDArray[Any]:
    if not rows:
        return np.empty((0, needed.width), np.float32)
    stacked = np.empty((len(rows), needed.width), np.float64)
    for number, row in enumerate(rows):
        stacked[number] = _vector(row, number, needed)
    return stacked


def _vector(row: Any, number: int, needed: Needed) -> npt.NDArray[Any]:
    if not _is_sequence(row):
        kind = (
            "missing" if row is None or (isinstance(row, float) and np.isnan(row)) else f"of type {type(row).__name__}"
        )
        raise UserError(f"Row {number:,} is {kind}, but {needed}: leave the row out, or give its vector.")
    try:
        vector = np.asarray(row)
    except (ValueError, TypeError):  # lists of several lengths; numpy's message may quote values
        vector = np.empty((0, 0), object)
    if vector.ndim != 1 or vector.dtype.kind not in "iuf":
        raise UserError(f"Row {number:,} is no flat list of numbers, but {needed}: give one vector for each row.")
    if len(vector) != needed.width:
        raise UserError(f"Row {number:,} has {len(vector):,} numbers, but {needed}: encode with {needed.encoder}.")
    return vector


def _checked(array: npt.NDArray[Any], needed: Needed) -> Matrix:
    if array.dtype.kind not in "iuf":
        raise UserError(f"The vectors are of type {array.dtype}, but {needed}: convert them to float32.")
    if array.ndim == 1 and array.size == 0:
        array = array.reshape(0, needed.width)
    rows = array[None] if array.ndim == 1 else array
    if rows.ndim != 2:
        raise UserError(
            f"The vectors have the shape {array.shape}, but {needed}: give one vector, or an array of shape "
            f"(rows, {needed.width})."
        )
    if rows.shape[1] != needed.width:
        advice = (
            "transpose the array"
            if rows.shape[0] == needed.width and array.ndim == 2
            else f"encode with {needed.encoder}"
        )
        raise UserError(f"The vectors have {rows.shape[1]:,} numbers, but {needed}: {advice}.")
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which is found next
        converted: Matrix = np.ascontiguousarray(rows, np.float32)
    if not (finite := np.isfinite(converted).all(axis=1)).all():
        first, count = int(np.argmin(finite)), int((~finite).sum())
        raise UserError(
            f"Row {first:,} has a number that is missing, infinite or too large for float32"
            f"{f', as {count - 1:,} more rows do' if count > 1 else ''}: leave such rows out."
        )
    return converted
