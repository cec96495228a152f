"""The features that a caller sends beside the content. They are never stored."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rawless.heads.features import HeadFeature
from rawless.heads.spec import CLASS, NAME, fits
from rawless.serving.errors import ErrorCode, RequestError

Features = Mapping[str, float | str | bool | None]
"""By name: a number, a class, None for a missing value, or False for a value that no feature can have."""
_LARGEST = 1e300


def bounded(fields: Mapping[str, object]) -> Features:
    """Return the fields that can be features, without any text that is not as short and plain as a class."""
    return {name: _bounded(value) for name, value in fields.items() if fits(name, NAME)}


def _bounded(value: object) -> float | str | bool | None:
    if isinstance(value, str):
        return value if fits(value, CLASS) else False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if abs(value) <= _LARGEST else False
    return None if value is None else False


def feature_row(features: Sequence[HeadFeature], given: Features) -> npt.NDArray[np.float32]:
    """Return the input `features` of a head for one row.

    Raises RequestError for a feature that is not given, is none of its classes or is outside of its range.
    """
    return np.array([[_column(feature, given) for feature in features]], np.float32)


def _column(feature: HeadFeature, given: Features) -> float:
    if feature.name not in given:
        raise RequestError(ErrorCode.MISSING_FEATURE, feature.name)
    if (encoded := feature.encoded(given[feature.name])) is None:
        raise RequestError(ErrorCode.BAD_FEATURE, feature.name)
    return encoded
