"""The indexes of a service: loaded with bounded memory, and replaced by newer ones while requests are answered."""

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from encoders.spec import EncoderSpec
from rawless.datasets import snapshot_tables
from rawless.datasets.snapshots import Manifest, batches, find
from rawless.errors import UserError
from rawless.quantities import format_bytes
from rawless.serving.adapted import hint_adapted, space_of_vectors
from rawless.serving.config import ServedHead
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.neighbour_graph import EXACT, GRAPH_BYTES, NeighbourGraph, Recall
from rawless.serving.vector_index import CANDIDATES, SHORTEST, VectorIndex
from rawless.warehouse.client import Warehouse

GRAPH_ROWS = 50_000
"""Rows from which an index gets a graph; below, comparing all takes no longer."""
MAX_BYTES = 8_000_000_000


class Built(NamedTuple):
    """What is known of an index of a service."""

    reference: str
    snapshot_id: str
    events: int
    bytes: int
    recall: Recall
    """Of the nearest events; exact if all are compared."""


class IndexStore:
    """The indexes of a service: for a reference in its file, one for the vectors of each encoder and query tower.

    Safe for concurrent use, also while it is refreshed and graphs are added, by one thread each.
    """

    def __init__(
        self,
        references: Iterable[str],
        warehouse: Warehouse | None,
        max_bytes: int = MAX_BYTES,
        on_built: Callable[[Built], None] = lambda _: None,
    ) -> None:
        """`warehouse` is needed if there is any reference. An index may have `max_bytes`."""
        self._warehouse, self._max_bytes, self._on_built = warehouse, max_bytes, on_built
        self._indexes: dict[str, dict[str, VectorIndex]] = {reference: {} for reference in references}
        self._told: dict[str, str] = {}
        self._lock = threading.Lock()

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
        if index is None:
            index = load_index(self._warehouse, reference, space, self._max_bytes)
            self._tell(reference, index, EXACT)
        if space not in (index.space, index.fingerprint):
            raise UserError(
                f"heads.{head.name}.index is {index.snapshot_id}, whose vectors are of another encoder than "
                f"{spec.ref}: build a snapshot with that encoder.{hint_adapted(spec, [index.fingerprint])}"
            )
        self._add(reference, spec.fingerprint, index)  # which heads may use even if a tower cannot
        for tower in towers:
            if not index.is_searched_by(tower):
                raise UserError(
                    f"heads.{head.name}.arms names {tower.ref}, which encodes queries for other documents than those "
                    f"of {index.snapshot_id}: name a tower of {spec.ref}, or another index."
                )
            self._add(reference, tower.fingerprint, index)

    def _add(self, reference: str, fingerprint: str, index: VectorIndex) -> None:
        with self._lock:
            self._indexes[reference] = {**self._indexes[reference], fingerprint: index}

    def refresh(self) -> list[str]:
        """Load newer snapshots of datasets, and those of which an erasure deleted rows.

        Requests are answered by the former index until the new one is complete. Returns a message for each change, and
        for each new reason why an index stays as it is.
        """
        return [
            message
            for reference in self.references
            for index in _distinct(self._indexes[reference].values())
            if (message := self._refresh(reference, index))
        ]

    def add_graphs(self) -> list[str]:
        """Build the graphs of large indexes, which answer without one meanwhile. Returns a message for each."""
        return [
            self._add_graph(reference, index)
            for reference in self.references
            for index in _distinct(self._indexes[reference].values())
            if len(index.ids) >= GRAPH_ROWS and index.graph_recall is None
        ]

    def _refresh(self, reference: str, index: VectorIndex) -> str | None:
        try:
            if self._warehouse is None or (manifest := self._newer(self._warehouse, reference, index)) is None:
                return None
            new = _load(self._warehouse, manifest, self._max_bytes)
        except UserError as error:
            message = f"The index {reference} stays as it was loaded: {error}"
            is_known, self._told[reference] = self._told.get(reference) == message, message
            return None if is_known else message
        self._replace(reference, index, new)
        self._tell(reference, new, EXACT)
        return f"The index {reference} is now {new.snapshot_id} with {len(new.ids):,} events."

    def _newer(self, warehouse: Warehouse, reference: str, index: VectorIndex) -> Manifest | None:
        """Return the snapshot that should be loaded in the place of an index, or None."""
        manifest = find(warehouse, reference, index.space)
        if index.space not in (manifest.space, manifest.fingerprint) or manifest.is_pairs != index.is_of_pairs:
            return None
        if manifest.snapshot_id != index.snapshot_id:
            return manifest
        return manifest if _rows(warehouse, manifest.snapshot_id) < index.loaded_rows else None

    def _add_graph(self, reference: str, index: VectorIndex) -> str:
        try:
            graph = NeighbourGraph(index.vectors, index.lengths)
            recall = graph.tune(CANDIDATES)
        except Exception as error:  # noqa: BLE001 - as for lack of memory: trying again would take a core for good
            self._replace(reference, index, index._replace(graph_recall=Recall(0.0, 0.0)))
            return f"The index {reference} is searched without a graph, which failed ({type(error).__name__})."
        events = f"of the nearest {CANDIDATES} of {len(index.ids):,} events of {index.snapshot_id}"
        finds = f"{recall.alike:.3f} {events}, and {recall.unlike:.3f} for queries that are unlike any event"
        if not recall.is_enough:
            self._replace(reference, index, index._replace(graph_recall=recall))
            return f"The index {reference} is searched without a graph, which would find only {finds}."
        tried = index._replace(graph=graph, graph_recall=recall)
        self._replace(reference, index, tried)
        self._tell(reference, tried, recall)
        memory = f"{_bytes(tried) // len(index.ids):,} bytes of memory an event"
        return f"The index {reference} is searched by a graph, which finds {finds}, with {memory}."

    def _replace(self, reference: str, old: VectorIndex, new: VectorIndex) -> None:
        """Answer by another index for all encoders that the old one answers for, between two requests."""
        with self._lock:
            self._indexes[reference] = {
                fingerprint: new if index is old else index for fingerprint, index in self._indexes[reference].items()
            }

    def _tell(self, reference: str, index: VectorIndex, recall: Recall) -> None:
        self._on_built(Built(reference, index.snapshot_id, len(index.ids), _bytes(index), recall))


def load_index(warehouse: Warehouse, reference: str, space: str, max_bytes: int = MAX_BYTES) -> VectorIndex:
    """Load the index of a snapshot's events; for a snapshot of pairs, of its right ones.

    Of a dataset it is the snapshot of a space that was built last. Raises UserError for an unknown or empty snapshot,
    and for one that needs more memory than `max_bytes`.
    """
    return _load(warehouse, find(warehouse, reference, space), max_bytes)


def _load(warehouse: Warehouse, manifest: Manifest, max_bytes: int) -> VectorIndex:
    id_column, column = ("right_event_id", "right_embedding") if manifest.is_pairs else ("event_id", "embedding")
    ids: list[str] = []
    vectors = np.empty((0, 0), np.float32)
    for batch in batches(warehouse, manifest.snapshot_id):
        matrix = batch.column(column).flatten().to_numpy().reshape(batch.num_rows, -1)
        if not ids:
            _check_memory(manifest, matrix.shape[1], max_bytes)
            vectors = np.empty((manifest.rows, matrix.shape[1]), np.float32)
        vectors[len(ids) : len(ids) + len(matrix)] = matrix
        ids += batch.column(id_column).to_pylist()
    if not ids:
        raise UserError(f"The snapshot {manifest.snapshot_id} has no rows: choose another one as the index.")
    names, rows = np.unique(np.array(ids), return_index=True)
    vectors = vectors[rows]
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), np.float32(SHORTEST))
    return VectorIndex(
        manifest.snapshot_id, manifest.space, names, vectors, lengths, manifest.fingerprint,
        loaded_rows=len(ids), is_of_pairs=manifest.is_pairs,
    )  # fmt: skip


def _check_memory(manifest: Manifest, dimension: int, max_bytes: int) -> None:
    # Twice the vectors: while they are sorted, or rounded ones in the graph, whose memory grows by doubling.
    needed = manifest.rows * (8 * dimension + 2 * GRAPH_BYTES)
    if needed > max_bytes:
        raise UserError(
            f"The index {manifest.snapshot_id} has {manifest.rows:,} rows and needs up to {format_bytes(needed)} "
            f"of memory, but limits.index_bytes is {format_bytes(max_bytes)}: raise it, or name a smaller snapshot."
        )


def _rows(warehouse: Warehouse, snapshot_id: str) -> int:
    table = snapshot_tables.table_id(warehouse, snapshot_id)
    ((count,),) = (row.values() for row in warehouse.query(f"SELECT COUNT(*) AS n FROM `{table}`"))  # noqa: S608
    return int(count)


def _distinct(indexes: Iterable[VectorIndex]) -> list[VectorIndex]:
    return list({id(index.vectors): index for index in list(indexes)}.values())


def _bytes(index: VectorIndex) -> int:
    graph = index.graph.bytes if index.graph else 0
    return index.vectors.nbytes + index.lengths.nbytes + index.ids.nbytes + graph
