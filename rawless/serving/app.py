"""From a service's file to the app of a role, with everything loaded and checked before the first request."""

import asyncio
import ipaddress
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from fastapi import FastAPI
from starlette.types import ASGIApp

from encoders.encoder import Device
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.serving import routes
from rawless.serving.authentication import LOOPBACK, Authenticator
from rawless.serving.classification import ClassifierBackend, LocalClassifierBackend
from rawless.serving.config import ServeConfig, ServedHead
from rawless.serving.encoding import EncoderBackend, LocalEncoderBackend
from rawless.serving.head_store import PREDICTS, SCORES, HeadRequirement, HeadStore
from rawless.serving.metrics import Metrics
from rawless.serving.orchestrator import Components, Orchestrator
from rawless.serving.prediction_log import PredictionLog
from rawless.serving.problems import closed
from rawless.serving.remote import RemoteClassifierBackend, RemoteEncoderBackend
from rawless.serving.service import Service
from rawless.serving.vector_index import VectorIndex, load_index
from rawless.warehouse.client import Warehouse

Role = Literal["all", "encoder", "classifier", "orchestrator"]
FLUSH_SECONDS = 10.0
"""For the log, when the service ends."""
_LAST_LOOK_SECONDS = 1.0


class Dependencies(NamedTuple):
    """What a service is given beside its file."""

    specs: Mapping[str, EncoderSpec]
    """The encoders by their reference."""
    head_folder: Path
    warehouse: Warehouse | None
    """Needed for indexes and for the log."""
    pseudonym_key: PseudonymKey | None
    device: Device
    report: Callable[[str], None]
    """Takes a sentence for whoever runs the service."""


class AppFactory:
    """Makes the app of one role, part by part."""

    def __init__(self, config: ServeConfig, served: Mapping[str, ServedHead], given: Dependencies) -> None:
        self.config, self.served, self.given = config, served, given
        self.metrics = Metrics()
        self.watched: list[Callable[[], None]] = []
        self.ended: list[Callable[[], Awaitable[None]]] = []

    def make(self, role: Role, host: str) -> ASGIApp:
        """The app. Raises UserError for what does not fit."""
        check_access(self.config, role, host)
        if role == "encoder":
            encoders = self._encoders()
            service = self._service("Rawless encoder", encoders.check_ready)
            routes.encode(service, encoders, {head.stream.stream: head.stream for head in self.served.values()})
        elif role == "classifier":
            heads = self._heads()
            service = self._service("Rawless classifier", heads.check_ready)
            routes.classify(service, heads)
        else:
            encoding, classifying = self._parts(role)
            orchestrator = self._orchestrator(encoding, classifying)
            service = self._service("Rawless orchestrator", orchestrator.check_ready)
            routes.orchestrate(service, orchestrator)
        return closed(service.app)

    def _service(self, title: str, ready: Callable[[], Awaitable[None]]) -> Service:
        return Service(
            title, Authenticator(self.config.access), self.config.limits, self.metrics, ready, self._lifespan
        )

    def _parts(self, role: Role) -> tuple[EncoderBackend, ClassifierBackend]:
        if role == "all":
            found = self._heads()  # first: a fault of theirs is told in no time
            return self._encoders(), found
        if self.config.encoder is None or self.config.classifier is None:
            raise UserError("An orchestrator by itself calls two services: give encoder.url and classifier.url.")
        seconds = self.config.limits.seconds
        encoders, heads = (
            RemoteEncoderBackend(self.config.encoder, seconds),
            RemoteClassifierBackend(self.config.classifier, seconds),
        )
        self.ended += [encoders.close, heads.close]
        return encoders, heads

    def _encoders(self) -> LocalEncoderBackend:
        needed = {head.encoder: self.given.specs[head.encoder] for head in self.served.values()}
        encoders = LocalEncoderBackend(list(needed.values()), self.given.device, self.config.limits.queue)

        def count() -> None:
            for encoder, size in encoders.batches():
                self.metrics.batches.labels(encoder).observe(size)

        self.watched.append(count)
        return encoders

    def _heads(self) -> LocalClassifierBackend:
        def current(name: str, is_current: bool) -> None:
            self.metrics.current.labels(name).set(is_current)

        live = HeadStore(self.given.head_folder, wanted(self.served, self.given.specs), current)

        def refresh() -> None:
            for sentence in live.refresh():
                self.given.report(sentence)

        self.watched.append(refresh)
        return LocalClassifierBackend(live, self._indexes())

    def _indexes(self) -> dict[str, VectorIndex]:
        found: dict[str, VectorIndex] = {}
        for head in self.served.values():
            if head.index is None:
                continue
            if self.given.warehouse is None:
                raise UserError(f"heads.{head.name}.index needs a warehouse: name one with --warehouse.")
            if head.index not in found:
                found[head.index] = load_index(self.given.warehouse, head.index)
            index = found[head.index]
            if index.fingerprint != self.given.specs[head.encoder].fingerprint:
                raise UserError(
                    f"heads.{head.name}.index is {index.snapshot_id}, whose vectors are of another encoder than "
                    f"{head.encoder}: build the snapshot with that one."
                )
        return found

    def _orchestrator(self, encoding: EncoderBackend, classifying: ClassifierBackend) -> Orchestrator:
        parts = Components(encoding, classifying, self.metrics, self._recorder())
        orchestrator = Orchestrator(self.served, self.given.specs, self.given.pseudonym_key, parts)
        self.watched.append(orchestrator.look)
        self.ended.insert(0, orchestrator.finish)
        return orchestrator

    def _recorder(self) -> PredictionLog | None:
        if not any(head.log for head in self.served.values()):
            return None
        if self.given.warehouse is None:
            raise UserError("A head with log: true needs a warehouse: name one with --warehouse.")

        def count(table: str, outcome: str, rows: int) -> None:
            self.metrics.rows.labels(table, outcome).inc(rows)

        recorder = PredictionLog(self.given.warehouse, self.config.limits.log_rows, count)

        async def flush() -> None:
            lost = await asyncio.to_thread(recorder.close, FLUSH_SECONDS)
            if lost:
                self.given.report(f"{lost:,} rows could not be logged, and are lost.")

        self.ended.append(flush)
        return recorder

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for end in reversed(self.ended):
                stack.push_async_callback(end)
            ended = threading.Event()
            looking = [threading.Thread(target=self._watch, args=(look, ended), daemon=True) for look in self.watched]
            for each in looking:
                each.start()
            yield
            ended.set()
            for each in looking:
                each.join(_LAST_LOOK_SECONDS)

    def _watch(self, look: Callable[[], None], ended: threading.Event) -> None:
        """Look again and again, in a thread of its own: a folder that hangs hides nothing else, and ends no end."""
        failed: set[str] = set()
        while not ended.wait(self.config.limits.watch_seconds):
            try:
                look()
            except Exception as error:  # noqa: BLE001 - whatever it met, the next look must come
                if (what := type(error).__name__) not in failed:
                    self.given.report(f"A look at heads and kill switches failed ({what}); it is tried again.")
                failed.add(what)


def create_app(
    role: Role, host: str, config: ServeConfig, served: Mapping[str, ServedHead], given: Dependencies
) -> ASGIApp:
    """The app of a role, to be served at an address. Raises UserError for whatever does not fit or cannot be loaded."""
    return AppFactory(config, served, given).make(role, host)


def check_access(config: ServeConfig, role: Role, host: str) -> None:
    """Raises UserError for a service that others can reach and that asks for no token."""
    if config.access is not None:
        return
    if role in ("encoder", "classifier"):
        raise UserError(f"The role {role} is asked by other services, so it needs a token: name them under access.")
    if not _is_loopback(host):
        raise UserError(f"At {host} others can reach the service: say who may call under access, or leave --host out.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK


def wanted(served: Mapping[str, ServedHead], specs: Mapping[str, EncoderSpec]) -> dict[str, HeadRequirement]:
    """What each head must be. Raises UserError for one that two names want otherwise."""
    found: dict[str, HeadRequirement] = {}
    for head in served.values():
        inputs = PREDICTS if head.index is None else SCORES
        confident = head.rules.minimum_confidence is not None
        for model in head.models:
            before = found.get(model)
            if before and (before.encoder, before.inputs) != (specs[head.encoder], inputs):
                raise UserError(f"The head {model} is asked by heads.{before.at} and by heads.{head.name} otherwise.")
            confident = confident or (before.confident if before else False)
            found[model] = HeadRequirement(specs[head.encoder], inputs, head.name, confident)
    return found
