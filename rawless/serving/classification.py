"""Classifier backends: vectors to answers, by the heads and indexes of this process or by a classifier service."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from encoders.spec import EncoderSpec, Vector
from rawless.heads.session import HeadSession
from rawless.heads.signature import FEATURES
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.features import Features, feature_row
from rawless.serving.head_store import HeadStore
from rawless.serving.index_store import IndexStore
from rawless.serving.responses import Answer, Loaded, Model, Ranking, Tower

THREADS = 2


class ClassifierBackend(Protocol):
    """Calls heads, as the service's file names them.

    Every method raises RequestError for a head that is unknown or takes other vectors.
    """

    async def answer(self, model: str, fingerprint: str, vector: Vector, features: Features) -> Answer:
        """Return the answer of a head for a vector of shape (dimension,) and the features that a caller sent."""
        ...

    async def rank(
        self, model: str, index: str, fingerprint: str, vector: Vector, attributes: Mapping[str, str], top: int
    ) -> Ranking:
        """Return the `top` events of an index that match a query's vector best, by a head or a tower, `model`.

        `attributes` name the tenant, for heads that have tenants.
        """
        ...

    async def loaded(self) -> Loaded:
        """Return which versions of the heads answer for which encoders. Raises RequestError while that is unknown."""
        ...

    async def check_ready(self) -> None:
        """Raise RequestError while heads cannot be called."""
        ...


class LocalClassifierBackend:
    """The heads and indexes of this process. They run in threads, so that the event loop does not wait for them."""

    def __init__(self, heads: HeadStore, indexes: IndexStore, towers: Mapping[str, EncoderSpec]) -> None:
        """`towers` are by the references that the service's file uses."""
        self._heads, self._indexes, self._towers = heads, indexes, towers
        # A fingerprint is a digest of the whole spec, which a request must not compute.
        self._answering = {ref: Tower.of(tower) for ref, tower in towers.items()}
        self._threads = ThreadPoolExecutor(THREADS, "heads")

    @property
    def models(self) -> list[str]:
        """The names of the heads and towers, sorted."""
        return sorted({*self._heads.names, *self._towers})

    @property
    def indexes(self) -> list[str]:
        """The references of the indexes, sorted."""
        return self._indexes.references

    async def answer(self, model: str, fingerprint: str, vector: Vector, features: Features) -> Answer:
        """See `ClassifierBackend.answer`."""
        head = self._heads.get(model, fingerprint, vector)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call_head, head, vector, features)

    async def rank(
        self, model: str, index: str, fingerprint: str, vector: Vector, attributes: Mapping[str, str], top: int
    ) -> Ranking:
        """See `ClassifierBackend.rank`."""
        loop, tower = asyncio.get_running_loop(), self._towers.get(model)
        if tower is None:
            head, vector_index = self._heads.get(model, fingerprint, vector), self._indexes.get(index, fingerprint)
            return await loop.run_in_executor(self._threads, vector_index.rank, head, vector, attributes, top)
        if fingerprint != self._answering[model].encoder_fingerprint:
            raise RequestError(ErrorCode.HEAD_MISMATCH)
        if vector.shape != (tower.dimension,):
            raise RequestError(ErrorCode.BAD_REQUEST)
        vector_index = self._indexes.get(index, fingerprint)
        return await loop.run_in_executor(
            self._threads, vector_index.rank_by_cosine, self._answering[model], vector, top
        )

    async def loaded(self) -> Loaded:
        """See `ClassifierBackend.loaded`."""
        return self.loaded_now

    @property
    def loaded_now(self) -> Loaded:
        """The same, for callers without an event loop."""
        return Loaded(heads=self._heads.manifests, indexes=self._indexes.snapshot_ids)

    async def check_ready(self) -> None:
        """Return immediately: heads are checked when they are loaded."""


def call_head(head: HeadSession, vector: Vector, features: Features) -> Answer:
    """Return the answer of a head for a vector of shape (dimension,) and the features that a caller sent.

    Raises RequestError if a feature of the head is missing or invalid, or the answer is not finite.
    """
    vectors = np.asarray(vector, np.float32)[None]
    inputs = {"embedding": vectors}
    if head.manifest.features:
        inputs[FEATURES] = feature_row(head.manifest.features, features)
    ((output, values),) = head.answer(**inputs).items()
    if not np.isfinite(values).all():
        raise RequestError(ErrorCode.HEAD_FAILED)
    model = Model.of(head.manifest)
    if output == "probabilities":
        are_in_domain = head.are_in_domain(vectors)
        return Answer(
            model=model,
            probabilities=dict(zip(head.manifest.classes, values[0].tolist(), strict=True)),
            in_domain=None if are_in_domain is None else bool(are_in_domain[0]),
        )
    return Answer(model=model, value=float(values[0]))
