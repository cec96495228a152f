"""From the options of a command to a warehouse and a key."""

import os
from pathlib import Path

from rawless.events.sources.pubsub import PubSub, check_name
from rawless.local import home, stack
from rawless.privacy.pseudonyms import KeySource, create_key_file
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Places, load_places

PUBSUB_VARIABLE = "PUBSUB_EMULATOR_HOST"
JOB_TABLES = ("embedding_event_v1", "encoder_v1", "rejection_v1")
LOCAL = Places(project=stack.LOCAL_PROJECT, events="events", snapshots="snapshots", subjects="subjects", audit="audit")


def open_warehouse(file: Path | None) -> Warehouse:
    """The warehouse that `--warehouse` names, or the local one (started when absent), with its tables made."""
    warehouse = Warehouse(load_places(file)) if file else Warehouse(LOCAL, stack.up(home.folder()).bigquery)
    warehouse.ensure()
    return warehouse


def job_warehouse(file: Path) -> Warehouse:
    """The warehouse as a job elsewhere finds it: only the tables that it uses are looked at, and nothing is made.

    Its account may write two tables and read one (terraform: the worker), and so may not make any.
    """
    warehouse = Warehouse(load_places(file))
    warehouse.check(JOB_TABLES)
    return warehouse


def open_pubsub(file: Path | None) -> PubSub:
    """Pub/Sub: where PUBSUB_EMULATOR_HOST says, else Google's when a warehouse is named, else the local one."""
    if host := os.environ.get(PUBSUB_VARIABLE):
        return PubSub(host)
    return PubSub() if file is not None else PubSub(stack.up(home.folder()).pubsub)


def default_topic(file: Path | None, stream: str) -> str:
    """The topic named like a stream, in the warehouse's project."""
    return topic_of(LOCAL.project if file is None else load_places(file).project, stream)


def topic_of(project: str, stream: str) -> str:
    """The topic named like a stream. Raises UserError when a topic cannot have that name."""
    return check_name(f"projects/{project}/topics/{stream}", "topics", "The stream")


def key_source(warehouse: Warehouse) -> KeySource:
    """Where the pseudonym key is: in the environment or Secret Manager, or, locally, in a file made when missing."""
    if warehouse.emulator is None:
        return KeySource(secret=warehouse.places.pseudonym_secret)
    create_key_file(home.key_file())
    return KeySource(path=str(home.key_file()))
