"""An index in memory: the vectors of a snapshot, to be scored against a query by cosine first, then by a head."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from encoders.spec import Vector
from rawless.datasets.snapshots import batches, find
from rawless.errors import UserError
from rawless.heads.session import HeadSession
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.responses import Match, Model, Ranking
from rawless.warehouse.client import Warehouse

CANDIDATES = 100
"""Of the first phase, which the head scores."""
MAX_TOP = CANDIDATES


class VectorIndex(NamedTuple):
    """Events and their vectors: `vectors` and `directions` (of length 1) are float32 of shape (rows, dimension)."""

    snapshot_id: str
    fingerprint: str
    ids: npt.NDArray[np.str_]
    vectors: npt.NDArray[np.float32]
    directions: npt.NDArray[np.float32]

    def rank(self, session: HeadSession, query: Vector, attributes: Mapping[str, str], top: int) -> Ranking:
        """The best rows for a query's vector of shape (dimension,), in the head's eyes."""
        vector = np.asarray(query, np.float32)
        mapped = _mapped(session, vector, attributes)
        cosines = self.directions @ _direction(mapped[None])[0]
        found = np.argpartition(-cosines, min(CANDIDATES, len(cosines)) - 1)[:CANDIDATES]
        scores = cosines[found] if session.manifest.kind == "query_transform" else _scores(session, vector, self, found)
        if not np.isfinite(scores).all():
            raise RequestError(ErrorCode.HEAD_FAILED)
        order = np.lexsort((self.ids[found], -cosines[found], -scores))[:top]
        matches = [
            Match(event_id=str(self.ids[row]), score=float(score), cosine=float(cosines[row]))
            for row, score in zip(found[order], scores[order], strict=True)
        ]
        return Ranking(model=Model.of(session.manifest), snapshot_id=self.snapshot_id, matches=matches)


def _mapped(session: HeadSession, vector: npt.NDArray[np.float32], attributes: Mapping[str, str]) -> Vector:
    """The query as a head maps it; as it is, for a head of pairs."""
    manifest = session.manifest
    inputs = [each.name for each in manifest.inputs]
    if "query" not in inputs:
        return vector
    given: dict[str, npt.NDArray[Any]] = {"query": vector[None]}
    if "tenant" in inputs:
        tenant = attributes.get(str(manifest.hyperparameters.get("tenant")), "")
        place = manifest.tenants.index(tenant) if tenant in manifest.tenants else 0
        given["tenant"] = np.array([place], np.int64)
    mapped: Vector = session.answer(**given)["embedding"][0]
    return mapped


def _scores(
    session: HeadSession, vector: npt.NDArray[np.float32], index: VectorIndex, found: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    pairs = {"left": np.broadcast_to(vector, (len(found), len(vector))), "right": index.vectors[found]}
    ((_, answered),) = session.answer(**{name: np.ascontiguousarray(each) for name, each in pairs.items()}).items()
    return answered if answered.ndim == 1 else np.ascontiguousarray(answered[:, -1])


def load_index(warehouse: Warehouse, reference: str) -> VectorIndex:
    """The index of a snapshot's events; of a snapshot of pairs, its right ones. Raises UserError for an empty one."""
    manifest = find(warehouse, reference)
    names = ("right_event_id", "right_embedding") if manifest.is_pairs else ("event_id", "embedding")
    found: dict[str, npt.NDArray[np.float32]] = {}
    for batch in batches(warehouse, manifest.snapshot_id):
        ids, vectors = (batch.column(name) for name in names)
        matrix = vectors.flatten().to_numpy().astype(np.float32).reshape(len(vectors), -1)
        found.update(zip(ids.to_pylist(), matrix, strict=True))
    if not found:
        raise UserError(f"The snapshot {manifest.snapshot_id} has no rows: name another as the index.")
    ids = sorted(found)
    vectors = np.stack([found[each] for each in ids])
    return VectorIndex(manifest.snapshot_id, manifest.fingerprint, np.array(ids), vectors, _direction(vectors))


def _direction(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return np.asarray(vectors / lengths, np.float32)
