"""The app of a service role, built from a service's file; everything is loaded and checked before the first request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from starlette.types import ASGIApp

from encoders.encoder import Device
from encoders.image_formats import check_installed
from encoders.query_role import refuse_documents
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.loopback import is_loopback
from rawless.privacy.pseudonyms import KEY_VARIABLE, PseudonymKey
from rawless.serving.adapted import hint_adapted, space_of_vectors
from rawless.serving.authentication import Authenticator
from rawless.serving.classification import ClassifierBackend, LocalClassifierBackend, answers
from rawless.serving.config import ServeConfig, ServedHead
from rawless.serving.encoding import EncoderBackend, LocalEncoderBackend
from rawless.serving.head_store import HeadStore, head_requirements
from rawless.serving.lifespan import Lifespan
from rawless.serving.metrics import Metrics
from rawless.serving.middleware import answer_head, close_before_body
from rawless.serving.orchestrator import Orchestrator
from rawless.serving.prediction_log import PredictionLog
from rawless.serving.problems import contain_exceptions
from rawless.serving.remote import RemoteClassifierBackend, RemoteEncoderBackend
from rawless.serving.routes import add_classifier_routes, add_encoder_routes, add_orchestrator_routes
from rawless.serving.service import Service
from rawless.serving.vector_index import VectorIndex, load_index
from rawless.warehouse.client import Warehouse
from rawless.warehouse.leakage_gate import enforce_gate

Role = Literal["all", "encoder", "classifier", "orchestrator"]
FLUSH_SECONDS = 10.0
"""How long the prediction log is written at shutdown."""


class Dependencies(NamedTuple):
    """What a service needs besides its file."""

    specs: Mapping[str, EncoderSpec]
    """The encoders by their reference."""
    head_folder: Path
    warehouse: Warehouse | None
    """Required for indexes and for the prediction log."""
    pseudonym_key: PseudonymKey | None
    device: Device
    report: Callable[[str], None]
    """Takes a message for the operator."""


class AppFactory:
    """Builds the app of a role from the service's file and its dependencies."""

    def __init__(self, config: ServeConfig, served: Mapping[str, ServedHead], dependencies: Dependencies) -> None:
        self._config, self._served, self._dependencies = config, served, dependencies
        self._metrics = Metrics()
        self._lifespan = Lifespan(config.limits.watch_seconds, dependencies.report)

    def create_app(self, role: Role, host: str) -> ASGIApp:
        """Return the app of a role, which is served at `host`.

        Raises UserError if the file is inconsistent, or names something that cannot be loaded.
        """
        check_access(self._config, role, host)
        check_towers(self._served, self._dependencies.specs)
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
            add_orchestrator_routes(service, orchestrator)
        return close_before_body(answer_head(contain_exceptions(service.app)))

    def _service(self, title: str, check_ready: Callable[[], Awaitable[None]]) -> Service:
        authenticator = Authenticator(self._config.access)
        return Service(title, authenticator, self._config.limits, self._metrics, check_ready, self._lifespan.run)

    def _orchestrator(self, role: Role) -> Orchestrator:
        encoder, classifier = self._backends(role)
        orchestrator = Orchestrator(
            self._served,
            self._dependencies.specs,
            self._dependencies.pseudonym_key,
            encoder=encoder,
            classifier=classifier,
            metrics=self._metrics,
            log=self._prediction_log(),
        )
        self._lifespan.add_periodic(orchestrator.refresh_kill_switches)
        self._lifespan.on_shutdown(orchestrator.finish_shadows)
        return orchestrator

    def _backends(self, role: Role) -> tuple[EncoderBackend, ClassifierBackend]:
        if role == "all":
            classifier = self._local_classifier()  # first, since it fails fast and encoders load slowly
            return self._local_encoder(), classifier
        if self._config.encoder is None or self._config.classifier is None:
            raise UserError("A separate orchestrator calls two services: give encoder.url and classifier.url.")
        seconds = self._config.limits.seconds
        remote_encoder = RemoteEncoderBackend(self._config.encoder, seconds)
        specs = self._dependencies.specs
        adapted = {
            specs[head.encoder].fingerprint: space_of_vectors(head, specs[head.encoder])
            for head in self._served.values()
            if head.adapted
        }
        remote_classifier = RemoteClassifierBackend(self._config.classifier, seconds, specs.values(), adapted)
        self._lifespan.on_shutdown(remote_encoder.close)
        self._lifespan.on_shutdown(remote_classifier.close)
        return remote_encoder, remote_classifier

    def _local_encoder(self) -> LocalEncoderBackend:
        for head in self._served.values():
            check_installed(head.stream.limits.formats)
            spec = self._dependencies.specs[head.encoder]
            head.stream.check_modality(spec.ref, spec.modality, spec.reads)
        specs = {ref: self._dependencies.specs[ref] for head in self._served.values() for ref in head.encoders}
        encoder = LocalEncoderBackend(list(specs.values()), self._dependencies.device, self._config.limits.queue)

        def count_batches() -> None:
            for reference, size in encoder.take_batch_sizes():
                self._metrics.batches.labels(reference).observe(size)

        self._lifespan.add_periodic(count_batches)
        return encoder

    def _local_classifier(self) -> LocalClassifierBackend:
        def count_checked(name: str, is_current: bool) -> None:
            self._metrics.current.labels(name).set(is_current)

        requirements = head_requirements(self._served, self._dependencies.specs)
        heads = HeadStore(self._dependencies.head_folder, requirements, count_checked)

        def refresh() -> None:
            for message in heads.refresh():
                self._dependencies.report(message)

        self._lifespan.add_periodic(refresh)
        towers = {arm: self._dependencies.specs[arm] for head in self._served.values() for arm in head.towers}
        return LocalClassifierBackend(heads, self._indexes(), towers)

    def _indexes(self) -> dict[str, VectorIndex]:
        indexes: dict[str, VectorIndex] = {}
        for head in self._served.values():
            if head.index is None:
                continue
            if self._dependencies.warehouse is None:
                raise UserError(f"heads.{head.name}.index needs a warehouse: name one with --warehouse.")
            if head.index not in indexes:
                indexes[head.index] = load_index(self._dependencies.warehouse, head.index)
            index = indexes[head.index]
            spec = self._dependencies.specs[head.encoder]
            if space_of_vectors(head, spec) not in (index.space, index.fingerprint):
                raise UserError(
                    f"heads.{head.name}.index is {index.snapshot_id}, whose vectors are of another encoder than "
                    f"{head.encoder}: build a snapshot with that encoder.{hint_adapted(spec, [index.fingerprint])}"
                )
            for arm in head.towers:
                if not answers(self._dependencies.specs[arm], index):
                    raise UserError(
                        f"heads.{head.name}.arms names {arm}, which encodes queries for other documents than those of "
                        f"{index.snapshot_id}: name a tower of {head.encoder}, or another index."
                    )
        return indexes

    def _prediction_log(self) -> PredictionLog | None:
        logged = [head for head in self._served.values() if head.log]
        if not logged:
            return None
        if self._dependencies.warehouse is None:
            raise UserError("A head with log: true needs a warehouse: name one with --warehouse.")
        self._check_gates(logged, self._dependencies.warehouse)
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

    def _check_gates(self, logged: Sequence[ServedHead], warehouse: Warehouse) -> None:
        """Raise UserError if the embeddings of an encoder would be logged that its stream's leakage gate refuses."""
        pairs = {(head.stream.stream, head.encoder): head.stream for head in logged}
        for (_, encoder), stream in pairs.items():
            specs = {encoder: self._dependencies.specs[encoder]}
            for warning in enforce_gate(warehouse, stream, specs):
                self._dependencies.report(warning)


def check_towers(served: Mapping[str, ServedHead], specs: Mapping[str, EncoderSpec]) -> None:
    """Raise UserError for a query tower where documents are encoded, or an arm of another modality than its stream."""
    for head in served.values():
        refuse_documents(specs[head.encoder], f"heads.{head.name}.encoder")
        for arm in head.towers:
            head.stream.check_modality(arm, specs[arm].modality, specs[arm].reads)


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
