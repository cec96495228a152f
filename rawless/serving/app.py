"""The app of a service role, built from a service's file; everything is loaded and checked before the first request."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, NamedTuple

from starlette.types import ASGIApp

from encoders.encoder import Device
from encoders.image_formats import check_installed
from encoders.release import PURPOSE as NOISE
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.loopback import is_loopback
from rawless.privacy.pseudonyms import KEY_VARIABLE, PseudonymKey
from rawless.serving.authentication import Authenticator
from rawless.serving.classification import ClassifierBackend, LocalClassifierBackend
from rawless.serving.config import ServeConfig, ServedHead
from rawless.serving.encoder_switch import EncoderSwitch
from rawless.serving.encoding import EncoderBackend, LocalEncoderBackend
from rawless.serving.head_store import HeadStore, head_requirements
from rawless.serving.index_store import Built, IndexStore
from rawless.serving.lifespan import Lifespan
from rawless.serving.metrics import Metrics
from rawless.serving.middleware import answer_head, close_before_body
from rawless.serving.orchestrator import Orchestrator
from rawless.serving.origins import Origins
from rawless.serving.page import add_page
from rawless.serving.prediction_log import PredictionLog
from rawless.serving.problems import contain_exceptions
from rawless.serving.remote import RemoteClassifierBackend, RemoteEncoderBackend
from rawless.serving.routes import add_classifier_routes, add_encoder_routes, add_orchestrator_routes
from rawless.serving.service import Service
from rawless.serving.stream_encoders import StreamEncoders
from rawless.warehouse.client import Warehouse
from rawless.warehouse.leakage_gate import enforce_gate

Role = Literal["all", "encoder", "classifier", "orchestrator"]
FLUSH_SECONDS = 10.0
"""How long the prediction log is written at shutdown."""
RETRY_SECONDS = 60.0
"""When an encoder or index is looked for again that was not there."""


class Dependencies(NamedTuple):
    """What a service needs besides its file."""

    specs: Mapping[str, EncoderSpec]
    """The encoders by their reference."""
    head_folder: Path
    warehouse: Warehouse | None
    """Required for indexes and for the prediction log, and to follow the live encoder of a stream."""
    pseudonym_key: PseudonymKey | None
    device: Device
    report: Callable[[str], None]
    """Takes a message for the operator."""


class AppFactory:
    """Builds the app of a role from the service's file and its dependencies."""

    def __init__(self, config: ServeConfig, served: Mapping[str, ServedHead], dependencies: Dependencies) -> None:
        self._config, self._served, self._dependencies = config, served, dependencies
        self._metrics = Metrics()
        self._origins = Origins(config.cors.origins if config.cors else ())
        self._lifespan = Lifespan(config.limits.watch_seconds, dependencies.report)
        self._loaders: list[Callable[[], None]] = []
        self._reported: set[str] = set()
        self._retry_at: dict[str, float] = {}

    def create_app(self, role: Role, host: str) -> ASGIApp:
        """Return the app of a role, which is served at `host`.

        Raises UserError if the file is inconsistent, or names something that cannot be loaded.
        """
        check_access(self._config, role, host)
        if role == "encoder":
            encoder = self._local_encoder()
            service = self._service("Rawless encoder", encoder.check_ready)
            streams = {head.stream.stream: head.stream for head in self._served.values()}
            add_encoder_routes(service, encoder, streams)
        elif role == "classifier":
            classifier = self._local_classifier()
            service = self._service("Rawless classifier", classifier.check_ready)
            add_classifier_routes(service, classifier)
        else:
            orchestrator = self._orchestrator(role)
            service = self._service("Rawless orchestrator", orchestrator.check_ready)
            add_orchestrator_routes(service, orchestrator, self._config.limits, self._metrics)
        # Last, so that what an encoder needs is loaded after the roles were read.
        self._lifespan.add_periodic(self._follow_streams, self._config.limits.pointer_seconds)
        if self._config.has_page:
            add_page(service)
        return self._origins.share(close_before_body(answer_head(contain_exceptions(service.app))))

    def _service(self, title: str, check_ready: Callable[[], Awaitable[None]]) -> Service:
        authenticator = Authenticator(self._config.access)
        limits, run = self._config.limits, self._lifespan.run
        return Service(title, authenticator, self._origins, limits, self._metrics, check_ready, run)

    @cached_property
    def _encoders(self) -> StreamEncoders:
        dependencies = self._dependencies
        return StreamEncoders(self._served, dependencies.specs, dependencies.warehouse, dependencies.report)

    @property
    def _towers(self) -> Mapping[str, EncoderSpec]:
        """The arms that are encoders of queries, by their references."""
        return {tower.ref: tower for name in self._served for tower in self._encoders.towers(name)}

    def _follow_streams(self) -> None:
        """Read which encoders have a role, and load what they need."""
        self._encoders.refresh()
        for load in self._loaders:
            load()

    def _report_once(self, message: str) -> None:
        if message not in self._reported:
            self._reported.add(message)
            self._dependencies.report(message)

    def _orchestrator(self, role: Role) -> Orchestrator:
        key = self._dependencies.pseudonym_key
        if role == "all":
            local_classifier = self._local_classifier()  # first, since it fails fast and encoders load slowly
            local_encoder = self._local_encoder()
        encoder, classifier = (local_encoder, local_classifier) if role == "all" else self._remote_backends()
        log = self._prediction_log()
        switch = EncoderSwitch(
            self._served,
            self._encoders,
            key.derive(NOISE) if key else None,
            check_log=self._check_gate,
            report=self._dependencies.report,
            metrics=self._metrics,
        )
        if role == "all":
            switch.update(local_encoder.fingerprints, local_classifier.loaded_now)
        else:
            switch.check_logs()
        orchestrator = Orchestrator(
            self._served, switch, key, encoder=encoder, classifier=classifier, metrics=self._metrics, log=log
        )
        self._lifespan.add_periodic(orchestrator.refresh_kill_switches)
        self._lifespan.add_task(orchestrator.follow_encoders, self._config.limits.pointer_seconds)
        self._lifespan.on_shutdown(orchestrator.finish_shadows)
        return orchestrator

    def _remote_backends(self) -> tuple[EncoderBackend, ClassifierBackend]:
        if self._config.encoder is None or self._config.classifier is None:
            raise UserError("A separate orchestrator calls two services: give encoder.url and classifier.url.")
        seconds = self._config.limits.seconds
        remote_encoder = RemoteEncoderBackend(self._config.encoder, seconds)
        remote_classifier = RemoteClassifierBackend(self._config.classifier, seconds, self._encoders.space_of)
        self._lifespan.on_shutdown(remote_encoder.close)
        self._lifespan.on_shutdown(remote_classifier.close)
        return remote_encoder, remote_classifier

    def _local_encoder(self) -> LocalEncoderBackend:
        for head in self._served.values():
            check_installed(head.stream.limits.formats)
        encoder = LocalEncoderBackend(self._dependencies.device, self._config.limits.queue)
        self._check_heads(lambda _, spec: encoder.add(spec))
        for tower in self._towers.values():
            encoder.add(tower)

        def load() -> None:
            for spec in {
                spec.fingerprint: spec for name in self._served for spec in self._encoders.of(name).all
            }.values():
                self._try_to_load(spec.fingerprint, partial(encoder.add, spec))

        self._loaders.append(load)
        return encoder

    def _local_classifier(self) -> LocalClassifierBackend:
        def count_checked(name: str, is_current: bool) -> None:
            self._metrics.current.labels(name).set(is_current)

        requirements = head_requirements(self._served, self._encoders.of)
        heads = HeadStore(self._dependencies.head_folder, requirements, count_checked)
        indexes = self._index_store()

        def check(head: ServedHead, spec: EncoderSpec) -> None:
            for model in head.models:
                heads.check(model, spec)
            if head.index:
                indexes.load(head, spec, self._encoders.towers(head.name))

        self._check_heads(check)

        def refresh() -> None:
            for message in heads.refresh():
                self._dependencies.report(message)

        self._loaders.append(partial(self._load_heads, heads, indexes))
        self._lifespan.add_periodic(refresh)
        return LocalClassifierBackend(heads, indexes, self._towers)

    def _index_store(self) -> IndexStore:
        references = [head.index for head in self._served.values() if head.index]
        limits, metrics = self._config.limits, self._metrics

        def count(built: Built) -> None:
            metrics.index_events.labels(built.reference).set(built.events)
            metrics.index_bytes.labels(built.reference).set(built.bytes)
            for queries, recall in built.recall._asdict().items():
                metrics.index_recall.labels(built.reference, queries).set(recall)

        indexes = IndexStore(references, self._dependencies.warehouse, limits.index_bytes, count)

        def report(change: Callable[[], list[str]]) -> None:
            for message in change():
                self._dependencies.report(message)

        if references:
            self._lifespan.add_periodic(partial(report, indexes.add_graphs))
            self._lifespan.add_periodic(partial(report, indexes.refresh), limits.index_seconds)
        return indexes

    def _load_heads(self, heads: HeadStore, indexes: IndexStore) -> None:
        """Load the indexes for all encoders with a role, and let the heads be loaded by their own refresh."""
        heads.require(head_requirements(self._served, self._encoders.of))
        for head in self._served.values():
            for spec in self._encoders.of(head.name).all if head.index else ():
                load = partial(indexes.load, head, spec, self._encoders.towers(head.name))
                self._try_to_load(f"{head.name} {spec.fingerprint}", load)

    def _try_to_load(self, key: str, load: Callable[[], None]) -> None:
        """Load something, unless that failed a short while ago: it takes time, or a query. Report why, once."""
        if time.monotonic() < self._retry_at.get(key, 0.0):
            return
        try:
            load()
        except UserError as error:
            self._retry_at[key] = time.monotonic() + RETRY_SECONDS
            self._report_once(str(error))

    def _check_heads(self, check: Callable[[ServedHead, EncoderSpec], None]) -> None:
        """Call `check` for each head and each of its encoders.

        Raises its UserError for the live encoder if it raises one for all encoders of a head.
        """
        for head in self._served.values():
            errors = []
            encoders = self._encoders.of(head.name).all
            for spec in encoders:
                try:
                    check(head, spec)
                except UserError as error:
                    errors.append(error)
            if len(errors) == len(encoders):
                raise errors[0]

    def _prediction_log(self) -> PredictionLog | None:
        logged = [head for head in self._served.values() if head.log]
        if not logged:
            return None
        if self._dependencies.warehouse is None:
            raise UserError("A head with log: true needs a warehouse: name one with --warehouse.")
        if self._config.access and self._dependencies.pseudonym_key is None:
            raise UserError(
                f"A head with log: true needs the pseudonym key for the ids of its callers: set {KEY_VARIABLE}."
            )

        def count_rows(table: str, outcome: str, rows: int) -> None:
            self._metrics.rows.labels(table, outcome).inc(rows)

        log = PredictionLog(self._dependencies.warehouse, self._config.limits.log_rows, count_rows)

        async def flush() -> None:
            lost = await asyncio.to_thread(log.close, FLUSH_SECONDS)
            if lost:
                self._dependencies.report(f"{lost:,} rows could not be logged and are lost.")

        self._lifespan.on_shutdown(flush)
        return log

    def _check_gate(self, head: ServedHead, spec: EncoderSpec) -> None:
        """Raise UserError if the embeddings of an encoder would be logged that its stream's leakage gate refuses."""
        if self._dependencies.warehouse is None:
            return
        for warning in enforce_gate(self._dependencies.warehouse, head.stream, {spec.ref: spec}):
            self._report_once(warning)


def check_access(config: ServeConfig, role: Role, host: str) -> None:
    """Raise UserError for a service without access configuration that others can reach."""
    if config.access is not None:
        return
    if role in ("encoder", "classifier"):
        raise UserError(f"The role {role} is called by other services, so it needs tokens: add them under access.")
    if not is_loopback(host):
        raise UserError(
            f"At {host} other machines can reach the service: list its callers under access, or leave out --host."
        )
