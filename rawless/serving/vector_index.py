"""Vector indexes in memory: the nearest events of a snapshot by cosine, then scored by a head."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from encoders.spec import EncoderSpec, Vector
from rawless.heads.session import HeadSession
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.neighbour_graph import NeighbourGraph, Recall
from rawless.serving.responses import Match, Model, Ranking, Tower

CANDIDATES = 100
"""How many of the nearest events the head scores."""
MAX_TOP = CANDIDATES
SHORTEST = 1e-12
"""The length of a vector of zeros, by which it can be divided."""


class VectorIndex(NamedTuple):
    """Events and their vectors. `vectors` has shape (rows, dimension), `lengths` those of its rows."""

    snapshot_id: str
    space: str
    ids: npt.NDArray[np.str_]
    vectors: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.float32]
    fingerprint: str
    """That of the snapshot's encoder, whose space may be shared."""
    graph: NeighbourGraph | None = None
    """Finds the nearest events among many; without one a query is compared with all."""
    graph_recall: Recall | None = None
    """What a graph found when it was tried."""
    loaded_rows: int = 0
    """The rows of the snapshot when it was loaded: an erasure leaves fewer."""
    is_of_pairs: bool = False
    """Whether the events are the right ones of pairs."""

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
        nearest, cosines = self.nearest(_map_query(head, vector, attributes))
        maps_queries = head.manifest.interface.maps_queries
        scores = cosines if maps_queries else _score_pairs(head, vector, self.vectors[nearest])
        if not np.isfinite(scores).all():
            raise RequestError(ErrorCode.HEAD_FAILED)
        matches = self._matches(nearest, scores, cosines, top)
        return Ranking(model=Model.of(head.manifest), snapshot_id=self.snapshot_id, matches=matches)

    def rank_by_cosine(self, tower: Tower, query: Vector, top: int) -> Ranking:
        """Return the `top` events that are nearest to a query's vector of shape (dimension,) by a tower."""
        nearest, cosines = self.nearest(np.asarray(query, np.float32))
        matches = self._matches(nearest, cosines, cosines, top)
        return Ranking(tower=tower, snapshot_id=self.snapshot_id, matches=matches)

    def nearest(self, query: Vector) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the rows of the nearest events, in no order, and the cosine of each."""
        direction = np.asarray(query / max(float(np.linalg.norm(query)), SHORTEST), np.float32)
        if self.graph is None:
            cosines = self.vectors @ direction / self.lengths
            rows = np.argpartition(-cosines, min(CANDIDATES, len(cosines)) - 1)[:CANDIDATES]
            return rows, cosines[rows]
        rows = self.graph.candidates(direction, CANDIDATES)
        cosines = self.vectors[rows] @ direction / self.lengths[rows]
        best = np.argsort(-cosines, kind="stable")[:CANDIDATES]
        return rows[best], cosines[best]

    def _matches(
        self,
        nearest: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        cosines: npt.NDArray[np.float32],
        top: int,
    ) -> list[Match]:
        order = np.lexsort((self.ids[nearest], -cosines, -scores))[:top]
        return [
            Match(event_id=str(self.ids[row]), score=float(score), cosine=float(cosine))
            for row, score, cosine in zip(nearest[order], scores[order], cosines[order], strict=True)
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
