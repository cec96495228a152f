"""Compare a graph over many vectors with comparing all: the time of a query, its recall, memory and building."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figure, figure, ratios
from rawless.serving.neighbour_graph import NeighbourGraph
from rawless.serving.vector_index import CANDIDATES, VectorIndex

ROWS, DIMENSION, QUERIES = 100_000, 384, 200
CLUSTERS, SPREAD = 1_000, 0.7
REQUIRED_SPEEDUP, REQUIRED_RECALL = ">= 2", ">= 0.95"


def measure(count: int) -> list[Figure]:
    """Seconds of the processor, since other programs run beside."""
    vectors, queries = _clustered(ROWS), _clustered(QUERIES, drawn=1)
    lengths = np.linalg.norm(vectors, axis=1)
    exact = VectorIndex("", "", np.arange(ROWS).astype(np.str_), vectors, lengths, "")
    started = time.process_time()
    graph = NeighbourGraph(vectors, lengths)
    built = time.process_time() - started
    measured = graph.tune(CANDIDATES)
    approximate = exact._replace(graph=graph)
    all_times: list[float] = []
    graph_times: list[float] = []
    for _ in range(count):
        wanted, milliseconds = _search(exact, queries)
        all_times.append(milliseconds)
        found, milliseconds = _search(approximate, queries)
        graph_times.append(milliseconds)
    recall = np.mean([len(set(left) & set(right)) / CANDIDATES for left, right in zip(wanted, found, strict=True)])
    of = f"{ROWS:,} vectors of {DIMENSION}"
    memory = (vectors.nbytes + lengths.nbytes + graph.bytes) / ROWS
    return [
        figure("nearest", of, "comparing all, processor time", all_times, "ms"),
        figure("nearest", of, "graph and exact ranks, processor time", graph_times, "ms"),
        figure("nearest", of, "comparing all / graph", ratios(all_times, graph_times), "ratio", REQUIRED_SPEEDUP),
        figure("nearest", of, f"recall of the nearest {CANDIDATES}, of vectors", [measured.alike], "ratio",
               REQUIRED_RECALL),
        figure("nearest", of, f"recall of the nearest {CANDIDATES}, unlike any", [measured.unlike], "ratio"),
        figure("nearest", of, f"recall of the nearest {CANDIDATES}, of the clusters", [float(recall)], "ratio",
               REQUIRED_RECALL),
        figure("nearest", of, "memory a vector", [memory], "bytes"),
        figure("nearest", of, "building the graph, processor time a vector", [built / ROWS * 1000], "ms"),
    ]  # fmt: skip


def _clustered(rows: int, drawn: int = 0) -> npt.NDArray[np.float32]:
    """Vectors in the same clusters; those of another draw are others of them."""
    centres = np.random.default_rng(0).standard_normal((CLUSTERS, DIMENSION), np.float32)
    chance = np.random.default_rng(drawn + 1)
    near = np.float32(SPREAD) * chance.standard_normal((rows, DIMENSION), np.float32)
    return np.asarray(centres[chance.integers(0, CLUSTERS, rows)] + near, np.float32)


def _search(index: VectorIndex, queries: npt.NDArray[np.float32]) -> tuple[list[Any], float]:
    """The rows that are found, and the milliseconds of the processor for each query."""
    started = time.process_time()
    found = [index.nearest(query)[0] for query in queries]
    return found, (time.process_time() - started) / len(queries) * 1000
