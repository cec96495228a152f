"""From the options of a command to a warehouse and a key."""

from pathlib import Path

from privacy.pseudonyms import KeySource, create_key_file
from rawless import home, local_stack
from sql.places import Places, load_places
from sql.warehouse import Warehouse

LOCAL = Places(
    project=local_stack.LOCAL_PROJECT, events="events", snapshots="snapshots", subjects="subjects", audit="audit"
)


def open_warehouse(file: Path | None) -> Warehouse:
    """The warehouse that `--warehouse` names, or the local one (started when absent), with its tables made."""
    if file is not None:
        warehouse = Warehouse(load_places(file))
    else:
        warehouse = Warehouse(LOCAL, local_stack.up(home.folder()).bigquery)
    warehouse.ensure()
    return warehouse


def key_source(warehouse: Warehouse) -> KeySource:
    """Where the pseudonym key is: in the environment or Secret Manager, or, locally, in a file made when missing."""
    if warehouse.emulator is None:
        return KeySource(secret=warehouse.places.pseudonym_secret)
    create_key_file(home.key_file())
    return KeySource(path=str(home.key_file()))
