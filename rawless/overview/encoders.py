"""The names of encoders by fingerprint."""

from collections.abc import Mapping

from rawless.warehouse.client import Warehouse
from rawless.warehouse.tables import FOLDER

_ENCODERS = FOLDER / "overview" / "encoders.sql"
_SHORT = 12


def encoder_names(warehouse: Warehouse) -> dict[str, str]:
    """Return NAME@VERSION of each registered encoder by its fingerprint."""
    rows = warehouse.query(warehouse.render(_ENCODERS))
    return {row["fingerprint"]: f"{row['name']}@{row['version']}" for row in rows}


def name_of(fingerprint: str, names: Mapping[str, str]) -> str:
    """Return the name of an encoder; for one without a name the beginning of its fingerprint."""
    return names.get(fingerprint, fingerprint[:_SHORT])
