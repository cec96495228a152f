"""Vector indexes in memory: the nearest events of a snapshot by cosine, then scored by a head."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from encoders.spec import EncoderSpec, Vector
from rawless.datasets.snapshots import batches, find
from rawless.errors import UserError
from rawless.heads.session import HeadSession
from rawless.serving.adapted import hint_adapted, space_of_vectors
from rawless.serving.config import ServedHead
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.responses import Match, Model, Ranking, Tower
from rawless.warehouse.client import Warehouse

CANDIDATES = 100
"""How many of the nearest events the head scores."""
MAX_TOP = CANDIDATES


class VectorIndex(NamedTuple):
    """Events and their vectors. `vectors` and `directions`, which have length 1, have shape (rows, dimension)."""

    snapshot_id: str
    space: str
    ids: npt.NDArray[np.str_]
    vectors: npt.NDArray[np.float32]
    directions: npt.NDArray[np.float32]
    fingerprint: str
    """That of the snapshot's encoder, whose space may be shared."""

    def is_searched_by(self, tower: EncoderSpec) -> bool:
        """Return whether an encoder's queries may be compared with the events.

        A file can claim to be a query tower, and the claim is worth only this: no head takes its vectors.
        """
        is_of_index = tower.space == self.space if tower.queries_of is None else tower.queries_of == self.fingerprint
        return is_of_index and tower.dimension == self.vectors.shape[1]

    def rank(self, head: HeadSession, query: Vector, attributes: Mapping[str, str], top: int) -> Ranking:
        """Return the `top` events that a head scores highest for a query's vector of shape (dimension,).

        Raises RequestError if a score is not finite.
        """
        vector = np.asarray(query, np.float32)
        cosines, nearest = self._nearest(_map_query(head, vector, attributes))
        if head.manifest.interface.maps_queries:
            scores = cosines[nearest]
        else:
            scores = _score_pairs(head, vector, self.vectors[nearest])
        if not np.isfinite(scores).all():
            raise RequestError(ErrorCode.HEAD_FAILED)
        matches = self._matches(nearest, scores, cosines, top)
        return Ranking(model=Model.of(head.manifest), snapshot_id=self.snapshot_id, matches=matches)

    def rank_by_cosine(self, tower: EncoderSpec, query: Vector, top: int) -> Ranking:
        """Return the `top` events that are nearest to a query's vector of shape (dimension,) by a tower."""
        cosines, nearest = self._nearest(np.asarray(query, np.float32))
        matches = self._matches(nearest, cosines[nearest], cosines, top)
        return Ranking(tower=Tower.of(tower), snapshot_id=self.snapshot_id, matches=matches)

    def _nearest(self, query: Vector) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
        """Return the cosine of every event, and the rows of the nearest ones."""
        cosines = self.directions @ _normalize(query[None])[0]
        return cosines, np.argpartition(-cosines, min(CANDIDATES, len(cosines)) - 1)[:CANDIDATES]

    def _matches(
        self,
        nearest: npt.NDArray[np.intp],
        scores: npt.NDArray[np.float32],
        cosines: npt.NDArray[np.float32],
        top: int,
    ) -> list[Match]:
        order = np.lexsort((self.ids[nearest], -cosines[nearest], -scores))[:top]
        return [
            Match(event_id=str(self.ids[row]), score=float(score), cosine=float(cosines[row]))
            for row, score in zip(nearest[order], scores[order], strict=True)
        ]


def _map_query(head: HeadSession, vector: npt.NDArray[np.float32], attributes: Mapping[str, str]) -> Vector:
    """Return the query's vector as a head maps it; unchanged for a head that scores pairs."""
    manifest = head.manifest
    names = [tensor.name for tensor in manifest.inputs]
    if "query" not in names:
        return vector
    inputs: dict[str, npt.NDArray[Any]] = {"query": vector[None]}
    if "tenant" in names:
        tenant = attributes.get(str(manifest.hyperparameters.get("tenant")), "")
        number = manifest.tenants.index(tenant) if tenant in manifest.tenants else 0
        inputs["tenant"] = np.array([number], np.int64)
    mapped: Vector = head.answer(**inputs)["embedding"][0]
    return mapped


def _score_pairs(
    head: HeadSession, vector: npt.NDArray[np.float32], candidates: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the head's score of the query's vector with each candidate, of shape (candidates,)."""
    left = np.ascontiguousarray(np.broadcast_to(vector, candidates.shape))
    ((_, scores),) = head.answer(left=left, right=np.ascontiguousarray(candidates)).items()
    return scores if scores.ndim == 1 else np.ascontiguousarray(scores[:, -1])


class IndexStore:
    """The indexes of a service: for a reference in its file, one for the vectors of each encoder and query tower."""

    def __init__(self, references: Iterable[str], warehouse: Warehouse | None) -> None:
        """`warehouse` is needed if there is any reference."""
        self._warehouse = warehouse
        self._indexes: dict[str, dict[str, VectorIndex]] = {reference: {} for reference in references}

    @property
    def references(self) -> list[str]:
        """The references, sorted."""
        return sorted(self._indexes)

    @property
    def snapshot_ids(self) -> dict[str, dict[str, str]]:
        """The ids of the snapshots, by reference and by the encoder's fingerprint."""
        return {
            reference: {fingerprint: index.snapshot_id for fingerprint, index in dict(indexes).items()}
            for reference, indexes in self._indexes.items()
        }

    def get(self, reference: str, fingerprint: str) -> VectorIndex:
        """Return the index for a vector of an encoder. Raises RequestError."""
        if reference not in self._indexes:
            raise RequestError(ErrorCode.NOT_FOUND)
        index = self._indexes[reference].get(fingerprint)
        if index is None:
            raise RequestError(ErrorCode.HEAD_MISMATCH)
        return index

    def load(self, head: ServedHead, spec: EncoderSpec, towers: Iterable[EncoderSpec]) -> None:
        """Load the index of a head for an encoder's vectors and its towers, unless that was done.

        Raises UserError if there is none, or if a tower encodes queries for other events.
        """
        reference, space = head.index or "", space_of_vectors(head, spec)
        indexes = self._indexes[reference]
        if self._warehouse is None:
            raise UserError(f"heads.{head.name}.index needs a warehouse: name one with --warehouse.")
        index = indexes.get(spec.fingerprint) or next((each for each in indexes.values() if each.space == space), None)
        index = index or load_index(self._warehouse, reference, space)
        if space not in (index.space, index.fingerprint):
            raise UserError(
                f"heads.{head.name}.index is {index.snapshot_id}, whose vectors are of another encoder than "
                f"{spec.ref}: build a snapshot with that encoder.{hint_adapted(spec, [index.fingerprint])}"
            )
        indexes[spec.fingerprint] = index
        for tower in towers:
            if not index.is_searched_by(tower):
                raise UserError(
                    f"heads.{head.name}.arms names {tower.ref}, which encodes queries for other documents than those "
                    f"of {index.snapshot_id}: name a tower of {spec.ref}, or another index."
                )
            indexes[tower.fingerprint] = index


def load_index(warehouse: Warehouse, reference: str, space: str) -> VectorIndex:
    """Load the index of a snapshot's events; for a snapshot of pairs, of its right ones.

    Of a dataset it is the snapshot of a space that was built last. Raises UserError for an unknown or empty snapshot.
    """
    manifest = find(warehouse, reference, space)
    columns = ("right_event_id", "right_embedding") if manifest.is_pairs else ("event_id", "embedding")
    vectors_by_id: dict[str, npt.NDArray[np.float32]] = {}
    for batch in batches(warehouse, manifest.snapshot_id):
        ids, embeddings = (batch.column(name) for name in columns)
        matrix = embeddings.flatten().to_numpy().astype(np.float32).reshape(len(embeddings), -1)
        vectors_by_id.update(zip(ids.to_pylist(), matrix, strict=True))
    if not vectors_by_id:
        raise UserError(f"The snapshot {manifest.snapshot_id} has no rows: choose another one as the index.")
    ids = sorted(vectors_by_id)
    vectors = np.stack([vectors_by_id[event_id] for event_id in ids])
    directions = _normalize(vectors)
    return VectorIndex(manifest.snapshot_id, manifest.space, np.array(ids), vectors, directions, manifest.fingerprint)


def _normalize(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return np.asarray(vectors / lengths, np.float32)
