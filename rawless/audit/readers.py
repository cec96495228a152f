"""Who read and who changed a table, and when: from Google's audit logs, or the record of the local BigQuery."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError

from rawless.errors import UserError
from rawless.local import home
from rawless.local.accesses import accesses
from rawless.warehouse.client import Warehouse, unavailable
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

AUDIT_LOG = "cloudaudit_googleapis_com_data_access"
"""The table that the sink of terraform/audit creates in the audit dataset."""
EMBEDDING_TABLES = r"^(embedding_event_v1|snapshot_[0-9a-f]{24}|dataset_[a-z0-9_]+|build_\w+)$"
"""Tables with embeddings: events, snapshots and their views, and the working tables of builds."""
_TABLE = re.compile(r"(\w+\.)?\w+")
_QUERY = FOLDER / "table_access" / "readers.sql"
_SERVICE_ACCOUNT = ".gserviceaccount.com"


@dataclass(frozen=True)
class Access:
    """What one account did with one table on one day (UTC)."""

    day: date
    account: str
    on_behalf_of: str | None
    """Who acted as that service account, if anyone did."""
    table_name: str
    """Dataset and table."""
    action: str
    """`read` or `change`."""
    accesses: int
    first_at: datetime
    last_at: datetime
    last_job: str | None

    @property
    def by_person(self) -> bool:
        """Whether a person did it, perhaps as a service account, instead of a job or a service."""
        return not (self.on_behalf_of or self.account).endswith(_SERVICE_ACCOUNT)


def readers(warehouse: Warehouse, since: datetime, table: str | None = None) -> list[Access]:
    """Return the accesses to the tables with embeddings, or to one table, the latest day first.

    `table` is TABLE or DATASET.TABLE. Raises UserError if it is neither, or if there are no copies of audit logs, and
    what `Warehouse.query` raises.
    """
    if table is not None and not _TABLE.fullmatch(table):
        raise UserError("--table is neither TABLE nor DATASET.TABLE: name one table, such as embedding_event_v1.")
    if warehouse.emulator is not None:
        return sorted(_recorded(since, table), key=lambda access: (-access.day.toordinal(), access.account))
    return logged(warehouse, since, table)


def logged(warehouse: Warehouse, since: datetime, table: str | None) -> list[Access]:
    """Return the accesses that Google's audit logs contain. Raises as `readers` does."""
    log = f"{warehouse.dataset_id('audit')}.{AUDIT_LOG}"
    try:
        warehouse.client.get_table(log, retry=warehouse.retry)
    except (NotFound, Forbidden) as error:
        raise UserError(
            f"The table {log} cannot be read ({type(error).__name__}): the log sink of terraform/audit creates it with "
            "the first access that it copies, and the privacy office may read it."
        ) from None
    except (GoogleAPIError, ConnectionError, GoogleAuthError) as error:
        raise unavailable(error) from None
    values = {"since": since, "table": table, "embedding_tables": EMBEDDING_TABLES}
    return [Access(**row) for row in warehouse.query(warehouse.render(_QUERY), parameters(values))]


def _recorded(since: datetime, table: str | None) -> Iterator[Access]:
    """Return the accesses that the local BigQuery recorded, by day."""
    groups: dict[tuple[date, str, str, str], list[dict[str, Any]]] = {}
    for entry in accesses(home.folder(), since):
        if _matches(entry["table"], table):
            key = (entry["at"].date(), entry["account"], entry["table"], entry["action"])
            groups.setdefault(key, []).append(entry)
    for (day, account, name, action), entries in groups.items():
        times = [entry["at"] for entry in entries]
        yield Access(day, account, None, name, action, len(entries), min(times), max(times), entries[-1]["job"])


def _matches(name: str, table: str | None) -> bool:
    without_dataset = name.rpartition(".")[2]
    if table is None:
        return re.match(EMBEDDING_TABLES, without_dataset) is not None
    return table in (name, without_dataset)
