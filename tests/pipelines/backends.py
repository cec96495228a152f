"""Where the streaming tests run: the local stack, emulators in containers, or a real project of Google Cloud."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rawless.events.pubsub import ACK_SECONDS, PubSub
from rawless.events.sources.pubsub import Subscription
from rawless.local.stack import LOCAL_PROJECT
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator
from tests.cloud import cloud_warehouse

IMAGE_VARIABLE = "RAWLESS_TEST_BIGQUERY_IMAGE"

DOCKER_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True)
class Backend:
    """A warehouse with its own tables, and its own subscription."""

    warehouse: Warehouse
    subscription: Subscription

    @property
    def topic(self) -> str:
        """The topic of the subscription."""
        return self.subscription.name.replace("/subscriptions/", "/topics/")


def local(warehouse: Warehouse, subscription: Subscription) -> Iterator[Backend]:
    """The local stack."""
    yield Backend(warehouse, subscription)


def containers(warehouse: Warehouse) -> Iterator[Backend]:
    """Google's Pub/Sub emulator; and a BigQuery emulator if an image is named, otherwise the local one."""
    from testcontainers.community.google import PubSubContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    if not (os.environ.get("DOCKER_HOST") or DOCKER_SOCKET.exists()):
        pytest.skip("there is no Docker engine here")
    with PubSubContainer(project=LOCAL_PROJECT) as emulator:
        wait_for_logs(emulator, r"Server started, listening on \d+", timeout=120)
        pubsub = PubSub(emulator.get_pubsub_emulator_host())
        name = f"projects/{LOCAL_PROJECT}/subscriptions/rawless-test"
        subscription = Subscription(name, pubsub, until_idle=5.0)
        pubsub.ensure_subscription(name, name.replace("/subscriptions/", "/topics/"))
        yield from _with_bigquery(os.environ.get(IMAGE_VARIABLE), Backend(warehouse, subscription))


def _with_bigquery(image: str | None, backend: Backend) -> Iterator[Backend]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    if image is None:
        yield backend
        return
    container = DockerContainer(image).with_command(f"--project={LOCAL_PROJECT}").with_exposed_ports(9050, 9060)
    with container as emulator:
        wait_for_logs(emulator, "gRPC server listening", timeout=60)
        host = emulator.get_container_host_ip()
        ports = [emulator.get_exposed_port(port) for port in (9050, 9060)]
        address = Emulator(f"http://{host}:{ports[0]}", f"{host}:{ports[1]}")
        with_emulator = replace(backend.warehouse, emulator=address)
        with_emulator.ensure()
        yield replace(backend, warehouse=with_emulator)


def cloud() -> Iterator[Backend]:
    """Real BigQuery and Pub/Sub, in datasets, a topic and a subscription that are deleted afterwards."""
    with cloud_warehouse() as warehouse:
        name = f"projects/{warehouse.config.project}/subscriptions/{warehouse.config.events}"
        subscription = Subscription(name, PubSub(), until_idle=20.0)
        backend = Backend(warehouse, subscription)
        with subscription.pubsub.publisher() as publisher, subscription.pubsub.subscriber() as subscriber:
            try:
                publisher.create_topic(name=backend.topic)
                request = {"name": subscription.name, "topic": backend.topic, "ack_deadline_seconds": ACK_SECONDS}
                subscriber.create_subscription(request=request)
                yield backend
            finally:
                _delete(backend, publisher, subscriber)


def _delete(backend: Backend, publisher: Any, subscriber: Any) -> None:
    from google.api_core.exceptions import NotFound

    for delete in (
        lambda: subscriber.delete_subscription(subscription=backend.subscription.name),
        lambda: publisher.delete_topic(topic=backend.topic),
    ):
        with suppress(NotFound):
            delete()
