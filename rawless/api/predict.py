"""Answers of a head for many vectors, as a frame with one row for each of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rawless.api.encoder import Embeddings
from rawless.api.vectors import COLUMN, RIGHT_COLUMN, Matrix, Needed, matrix
from rawless.errors import UserError
from rawless.heads.artefact import HeadManifest
from rawless.heads.features import HeadFeature
from rawless.heads.session import HeadSession
from rawless.heads.signature import EMBEDDING, FEATURES, PROBABILITIES, SCORE, TENANT, Interface

_AT_ONCE = 65_536
"""Rows of one run of the graph, whose inner layers need memory for each."""
Inputs = dict[str, npt.NDArray[Any]]


def predict(
    session: HeadSession, vectors: Any, right: Any = None, features: Any = None, tenants: Any = None
) -> pd.DataFrame:
    """Return the answers of a head; see `rawless.api.head.Head.predict`. Raises UserError."""
    manifest = session.manifest
    for given in (vectors, right):
        _check_encoder(session, given)
    kept = _kept(vectors, right)
    inputs = _vector_inputs(manifest, vectors, right, kept)
    rows = len(next(iter(inputs.values())))
    inputs |= _other_inputs(manifest, vectors, features, tenants, rows)
    answers = pd.concat([_answers(session, part) for part in _parts(inputs, rows)], ignore_index=True)
    if kept is not None:
        answers = answers.reindex(np.where(kept, np.cumsum(kept) - 1, -1))
        answers["reason"] = _reasons(vectors, right, len(kept))
    answers.index = vectors.index if isinstance(vectors, pd.DataFrame | pd.Series) else pd.RangeIndex(len(answers))
    return answers


def needed(manifest: HeadManifest) -> Needed:
    """Return which vectors a head takes."""
    (width,) = {int(each.shape[1]) for each in manifest.inputs if each.name not in (FEATURES, TENANT)}
    return Needed(width, f"{manifest.head}@{manifest.version}", manifest.encoder_ref)


def _check_encoder(session: HeadSession, given: Any) -> None:
    """Raise UserError for vectors that are known to be of another encoder, of another space."""
    if isinstance(given, Embeddings):
        session.check(given.fingerprint, given.space)
    elif isinstance(given, pd.DataFrame | pd.Series) and (fingerprint := given.attrs.get("encoder_fingerprint")):
        session.check(str(fingerprint), given.attrs.get("encoder_space"))
    elif isinstance(given, pd.DataFrame) and "encoder_fingerprint" in given.columns:
        for each in given["encoder_fingerprint"].dropna().unique():
            session.check(str(each))


def _kept(vectors: Any, right: Any) -> npt.NDArray[np.bool_] | None:
    """Return which rows have a vector, if some items were rejected when they were encoded."""
    masks = [each.is_encoded for each in (vectors, right) if isinstance(each, Embeddings)]
    if all(mask.all() for mask in masks):
        return None
    if len({len(mask) for mask in masks}) > 1:
        return None  # which is an error of its own, found later
    kept: npt.NDArray[np.bool_] = np.logical_and.reduce(masks)
    return kept


def _reasons(vectors: Any, right: Any, rows: int) -> list[str | None]:
    rejected = [each.rejected for each in (right, vectors) if isinstance(each, Embeddings)]
    return [next((reasons[row] for reasons in rejected[::-1] if row in reasons), None) for row in range(rows)]


def _vector_inputs(manifest: HeadManifest, vectors: Any, right: Any, kept: npt.NDArray[np.bool_] | None) -> Inputs:
    wanted, interface = needed(manifest), manifest.interface

    def read(values: Any) -> Matrix:
        if isinstance(values, Embeddings):
            values = values.vectors if kept is None else values.vectors[kept]
        elif kept is not None and values is not None:
            return matrix(values, wanted)[kept]
        return matrix(values, wanted)

    if interface is not Interface.PAIR:
        if right is not None:
            raise UserError(f"The head {wanted.head} takes single vectors, but `right` has others: leave it out.")
        return {manifest.inputs[0].name: read(vectors)}
    if right is None and isinstance(vectors, pd.DataFrame) and RIGHT_COLUMN in vectors.columns:
        right = vectors[RIGHT_COLUMN]
    if right is None:
        raise UserError(
            f"The head {wanted.head} takes pairs of vectors: give both, as in predict(left, right), or a frame with "
            f"the columns {COLUMN} and {RIGHT_COLUMN}."
        )
    sides = dict(zip(interface.value, (read(vectors), read(right)), strict=True))
    first, second = map(len, sides.values())
    if first != second:
        raise UserError(f"There are {first:,} left and {second:,} right vectors: give a right one for each left one.")
    return sides


def _other_inputs(manifest: HeadManifest, vectors: Any, features: Any, tenants: Any, rows: int) -> Inputs:
    frame = vectors if isinstance(vectors, pd.DataFrame) else None
    name = f"{manifest.head}@{manifest.version}"
    inputs: Inputs = {}
    if manifest.features:
        inputs[FEATURES] = _feature_matrix(manifest.features, _given_features(features, frame), rows, name)
    elif features is not None:
        raise UserError(f"The head {name} takes no features: leave `features` out.")
    if manifest.interface is Interface.QUERY_OF_TENANT:
        inputs[TENANT] = _tenant_indices(manifest, tenants, frame, rows)
    elif tenants is not None:
        raise UserError(f"The head {name} has no tenants: leave `tenants` out.")
    return inputs


def _given_features(features: Any, frame: pd.DataFrame | None) -> Mapping[str, Any]:
    """Return columns of features by name: those that are given, else those of a snapshot's frame."""
    if isinstance(features, pd.DataFrame | Mapping):
        return {str(name).removeprefix("feature."): features[name] for name in features}
    if features is not None:
        raise UserError(
            f"features is of type {type(features).__name__}: give a frame, or a dict with a list for each name."
        )
    columns = [] if frame is None else [name for name in frame.columns if str(name).startswith("feature.")]
    return {} if frame is None else {name.removeprefix("feature."): frame[name] for name in columns}


def _feature_matrix(wanted: Sequence[HeadFeature], given: Mapping[str, Any], rows: int, head: str) -> Matrix:
    filled = np.empty((rows, len(wanted)), np.float32)
    for column, feature in enumerate(wanted):
        if feature.name not in given:
            raise UserError(
                f"The head {head} takes the feature {feature} beside the vector, which is not given: give it in "
                "`features`, with None where it is missing."
            )
        values = given[feature.name]
        values = [values] * rows if np.isscalar(values) or values is None else list(values)
        if len(values) != rows:
            raise UserError(f"The feature {feature.name} has {len(values):,} values for {rows:,} vectors.")
        for row, value in enumerate(values):
            if (encoded := feature.encoded(_plain(value))) is None:
                raise UserError(f"Row {row:,} has a value that the feature cannot have: it is {feature}.")
            filled[row, column] = encoded
    return filled


def _plain(value: Any) -> Any:
    """Return a value of numpy or pandas as Python's own, a missing one as None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if value is pd.NA or (isinstance(value, float) and np.isnan(value)) else value


def _tenant_indices(
    manifest: HeadManifest, tenants: Any, frame: pd.DataFrame | None, rows: int
) -> npt.NDArray[np.int64]:
    attribute = manifest.hyperparameters.get("tenant")
    if tenants is None and frame is not None and f"attribute.{attribute}" in frame.columns:
        tenants = frame[f"attribute.{attribute}"]
    if tenants is None:
        raise UserError(
            f"The head {manifest.head}@{manifest.version} maps the queries of each {attribute} differently: give "
            "`tenants`, one for all rows or a list."
        )
    values = [tenants] * rows if isinstance(tenants, str) else list(tenants)
    if len(values) != rows:
        raise UserError(f"There are {len(values):,} tenants for {rows:,} vectors: give one for each.")
    indices = {name: index for index, name in enumerate(manifest.tenants)}
    return np.array([indices.get(value, 0) for value in values], np.int64)


def _parts(inputs: Inputs, rows: int) -> list[Inputs]:
    starts = range(0, rows, _AT_ONCE) if rows else range(1)
    return [{name: each[start : start + _AT_ONCE] for name, each in inputs.items()} for start in starts]


def _answers(session: HeadSession, inputs: Inputs) -> pd.DataFrame:
    manifest = session.manifest
    ((output, values),) = session.answer(**inputs).items()
    if not np.isfinite(values).all():
        raise UserError(f"The head {manifest.head}@{manifest.version} answered with numbers that are not finite.")
    classes = np.array(manifest.classes, object)
    if output == PROBABILITIES:
        answers = {"prediction": classes[values.argmax(axis=1)], "confidence": values.max(axis=1)}
        vectors = next(iter(inputs.values()))
        if (in_domain := session.are_in_domain(vectors)) is not None:
            answers["in_domain"] = in_domain
        return pd.DataFrame(answers | {f"probability.{name}": values[:, n] for n, name in enumerate(classes)})
    if output == SCORE:
        answers = {"prediction": classes[[0, -1]][(values >= 0.5).astype(int)]} if len(classes) > 1 else {}
        return pd.DataFrame(answers | {SCORE: values})
    return pd.DataFrame({output: list(values) if output == EMBEDDING else values})
