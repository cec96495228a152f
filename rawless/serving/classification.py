"""Classifying for a service: vectors to answers, by the heads and indexes of this process."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from encoders.spec import Vector
from rawless.heads.artefact import HeadManifest
from rawless.serving.errors import ErrorCode, RequestError
from rawless.serving.head_store import HeadStore
from rawless.serving.responses import Answer, Ranking
from rawless.serving.vector_index import VectorIndex

THREADS = 2


class ClassifierBackend(Protocol):
    """Whatever asks heads: those here, or a service. Every call raises Refused for a head that does not fit."""

    async def answer(self, model: str, fingerprint: str, vector: Vector) -> Answer:
        """What a head says of a vector of shape (dimension,)."""
        ...

    async def rank(
        self, model: str, index: str, fingerprint: str, vector: Vector, attributes: Mapping[str, str], top: int
    ) -> Ranking:
        """The best events of an index for a query's vector. `attributes` name the tenant, for heads that have some."""
        ...

    async def manifests(self) -> list[HeadManifest]:
        """Of the heads that are live now."""
        ...

    async def check_ready(self) -> None:
        """Raises RequestError while it cannot answer."""
        ...


class LocalClassifierBackend:
    """The heads and indexes of this process. They are asked in threads of their own, so that no request waits."""

    def __init__(self, live: HeadStore, indexes: Mapping[str, VectorIndex]) -> None:
        self.live = live
        self._indexes = indexes
        self._threads = ThreadPoolExecutor(THREADS, "heads")

    @property
    def indexes(self) -> list[str]:
        """As the service's file names them."""
        return sorted(self._indexes)

    async def answer(self, model: str, fingerprint: str, vector: Vector) -> Answer:
        """See `ClassifierBackend.answer`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.live.answer, model, fingerprint, vector)

    async def rank(
        self, model: str, index: str, fingerprint: str, vector: Vector, attributes: Mapping[str, str], top: int
    ) -> Ranking:
        """See `ClassifierBackend.rank`."""
        session, found = self.live.of(model, fingerprint, vector), self._indexes.get(index)
        if found is None:
            raise RequestError(ErrorCode.NOT_FOUND)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, found.rank, session, vector, attributes, top)

    async def manifests(self) -> list[HeadManifest]:
        """See `ClassifierBackend.manifests`."""
        return self.live.manifests

    async def check_ready(self) -> None:
        """See `ClassifierBackend.check_ready`; they were checked when they were loaded."""
