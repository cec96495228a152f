"""Open the warehouse, Pub/Sub and the pseudonym key that a command's options name."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rawless.errors import UserError
from rawless.local import home, stack
from rawless.loopback import emulator_address
from rawless.privacy.pseudonyms import (
    KEY_VARIABLE,
    KeySource,
    PseudonymKey,
    create_key_file,
    named_key,
    replace_key_file,
)
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig, load_warehouse_config
from rawless.warehouse.table_streams import Tables

if TYPE_CHECKING:  # Pub/Sub's client, and the libraries of all sources, which not every command needs
    from rawless.events.pubsub import PubSub
    from rawless.events.sources.pubsub import Subscription

PUBSUB_VARIABLE = "PUBSUB_EMULATOR_HOST"
JOB_TABLES = ("embedding_event_v1", "encoder_v1", "rejection_v1", "stream_pointer_v1")
LOCAL_CONFIG = WarehouseConfig(
    project=stack.LOCAL_PROJECT,
    events="events",
    snapshots="snapshots",
    builds="builds",
    subjects="subjects",
    audit="audit",
)
"""The local stack's project and datasets."""


def open_warehouse(file: Path | None = None) -> Warehouse:
    """Open the warehouse that a warehouse file describes, and create the tables that it lacks.

    Without a file this is the warehouse of the local stack, which is started if it is not running. Raises UserError for
    a file that is not valid, Unavailable when the local stack does not start or the warehouse does not answer.
    """
    if file is None:
        return open_local_warehouse(home.folder())
    warehouse = Warehouse(load_warehouse_config(file))
    warehouse.ensure()
    return warehouse


def open_local_warehouse(home_folder: Path) -> Warehouse:
    """Open the warehouse of the local stack in a home folder, which is started if it is not running.

    Raises Unavailable when it does not start.
    """
    warehouse = Warehouse(LOCAL_CONFIG, stack.up(home_folder).bigquery)
    warehouse.ensure()
    return warehouse


@contextmanager
def throw_away_warehouse() -> Iterator[Callable[[], Warehouse]]:
    """Start a local warehouse without tables that is deleted afterwards, and yield a function that opens it.

    The function raises Unavailable when the local stack does not start.
    """
    with stack.throw_away() as running:
        yield lambda: Warehouse(LOCAL_CONFIG, running().bigquery)


def open_existing_warehouse(file: Path, tables: Iterable[str]) -> Warehouse:
    """Open the warehouse for an account of the deployment, which may use some tables and create none: check these.

    Raises UserError for a file that is not valid and for a table that is missing or differs.
    """
    warehouse = Warehouse(load_warehouse_config(file))
    warehouse.check(tables)
    return warehouse


def open_tables(file: Path | None = None) -> Tables:
    """Open the tables that a warehouse file's project may read, or without a file those of the local stack."""
    config = load_warehouse_config(file) if file else LOCAL_CONFIG
    return Tables(Warehouse(config, None if file else stack.up(home.folder()).bigquery))


def open_pubsub(file: Path | None = None) -> "PubSub":
    """Open the Pub/Sub that PUBSUB_EMULATOR_HOST names; else Google's with a warehouse file, the local one without.

    Raises UserError if the variable names a host other than this machine.
    """
    from rawless.events.pubsub import PubSub

    if host := emulator_address(PUBSUB_VARIABLE):
        local = stack.find(home.folder())
        return PubSub(host, local.token if local and local.pubsub == host else "")
    if file is not None:
        return PubSub()
    local = stack.up(home.folder())
    return PubSub(local.pubsub, local.token)


def connect_subscription(source: "Subscription", stream: str, file: Path | None) -> "Subscription":
    """Return a subscription with its address. On an emulator it is created, on the topic named like the stream.

    Raises UserError if it does not exist, Unavailable if Pub/Sub does not answer.
    """
    pubsub = open_pubsub(file)
    # A real subscription already has a topic; the stream's name must be valid for a topic only where one is created.
    topic = topic_name(source.project, stream) if pubsub.emulator else ""
    pubsub.ensure_subscription(source.name, topic)
    return replace(source, pubsub=pubsub)


def default_topic(file: Path | None, stream: str) -> str:
    """Return the name of a stream's topic in the warehouse's project."""
    return topic_name(LOCAL_CONFIG.project if file is None else load_warehouse_config(file).project, stream)


def topic_name(project: str, stream: str) -> str:
    """Return the name of a stream's topic in a project. Raises UserError if Pub/Sub does not allow the name."""
    from rawless.events.pubsub import check_name

    return check_name(f"projects/{project}/topics/{stream}", "topics", "The stream")


def open_key_source(warehouse: Warehouse) -> KeySource:
    """Return where to load the pseudonym key from: the environment, Secret Manager, or a local file.

    The file is used with the local stack only, and is created with a new key if it does not exist.
    """
    return _key_source(warehouse.config if warehouse.emulator is None else None)


def find_key_source(file: Path | None) -> KeySource:
    """Return the same as `open_key_source`, without opening the warehouse that the file describes."""
    return _key_source(load_warehouse_config(file) if file else None)


def check_rotation(file: Path | None, secret: str | None) -> None:
    """Raise UserError unless a new key can be named: a secret version with a warehouse file, none without."""
    if KEY_VARIABLE in os.environ:
        raise UserError(f"{KEY_VARIABLE} is set, and would be used instead of the new key: unset it.")
    if file is None and secret:
        raise UserError("--secret goes with --warehouse; the local stack makes its own key.")
    if file is not None and not secret:
        raise UserError("Name the new key by --secret projects/P/secrets/S/versions/V, a new version of the secret.")
    if secret and secret == find_key_source(file).secret:
        raise UserError(f"{secret} is the key of the warehouse file: add a version to the secret, and name that one.")


@contextmanager
def new_key(secret: str | None) -> Iterator[PseudonymKey]:
    """Yield the key in a secret version or, without one, a new local key, which is used when the block has ended well.

    A rotation that was interrupted goes on with the local key that it made.
    """
    if secret:
        yield named_key(secret)
        return
    current = home.key_file()
    create_key_file(current)
    new = current.with_name(f"{current.name}.new")
    create_key_file(new)
    yield named_key(str(new))
    replace_key_file(current, new)


def _key_source(config: WarehouseConfig | None) -> KeySource:
    if config is not None:
        return KeySource(secret=config.pseudonym_secret)
    create_key_file(home.key_file())
    return KeySource(path=str(home.key_file()))
