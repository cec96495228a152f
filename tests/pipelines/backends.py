"""Where the streaming tests run: the local stack, emulators in containers, or a real project of Google Cloud."""

import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from events.pubsub import ACK_SECONDS, PubSub, Subscription
from rawless.local_stack import LOCAL_PROJECT
from sql.places import Emulator, Places
from sql.warehouse import Warehouse

PROJECT_VARIABLE = "RAWLESS_TEST_PROJECT"
IMAGE_VARIABLE = "RAWLESS_TEST_BIGQUERY_IMAGE"

DOCKER_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True)
class Backend:
    """A warehouse with tables of its own, and a subscription of its own."""

    warehouse: Warehouse
    subscription: Subscription

    @property
    def topic(self) -> str:
        """What the subscription is of."""
        return self.subscription.name.replace("/subscriptions/", "/topics/")


def local(warehouse: Warehouse, subscription: Subscription) -> Iterator[Backend]:
    """The local stack."""
    yield Backend(warehouse, subscription)


def containers(warehouse: Warehouse) -> Iterator[Backend]:
    """Google's Pub/Sub emulator; and a BigQuery emulator, where an image of one is named, else the local one."""
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
        made = replace(backend.warehouse, emulator=address)
        made.ensure()
        yield replace(backend, warehouse=made)


def cloud() -> Iterator[Backend]:
    """Real BigQuery and Pub/Sub, in datasets, a topic and a subscription that are deleted afterwards."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    project = os.environ.get(PROJECT_VARIABLE)
    if not project:
        pytest.skip(f"{PROJECT_VARIABLE} names no project of Google Cloud")
    try:
        google.auth.default()
    except DefaultCredentialsError:
        pytest.skip("there are no credentials of Google Cloud here")
    mark = f"rawless_test_{uuid.uuid4().hex[:12]}"
    roles = ("events", "snapshots", "subjects", "audit")
    warehouse = Warehouse(Places(project=project, **{role: f"{mark}_{role}" for role in roles}))
    subscription = Subscription(f"projects/{project}/subscriptions/{mark}", PubSub(), until_idle=20.0)
    backend = Backend(warehouse, subscription)
    with subscription.pubsub.publisher() as publisher, subscription.pubsub.subscriber() as subscriber:
        try:
            warehouse.ensure()
            publisher.create_topic(name=backend.topic)
            request = {"name": subscription.name, "topic": backend.topic, "ack_deadline_seconds": ACK_SECONDS}
            subscriber.create_subscription(request=request)
            yield backend
        finally:
            _delete(backend, publisher, subscriber, roles)


def _delete(backend: Backend, publisher: Any, subscriber: Any, roles: tuple[str, ...]) -> None:
    from google.api_core.exceptions import NotFound

    for role in roles:
        dataset = backend.warehouse.dataset_id(role)
        backend.warehouse.client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)
    for delete in (
        lambda: subscriber.delete_subscription(subscription=backend.subscription.name),
        lambda: publisher.delete_topic(topic=backend.topic),
    ):
        with suppress(NotFound):
            delete()
