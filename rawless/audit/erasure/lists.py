"""The working lists of an erasure: pseudonyms and events, in tables of the subjects dataset.

Neither ids nor pseudonyms are parameters of a statement, because those stay in the project's job history.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud import bigquery

from rawless.audit.erasure.requested import Persons
from rawless.warehouse import subjects
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

_SUBJECTS = {"subject_key": "STRING", "person_key": "STRING", "is_mapped": "BOOL"}
_EVENTS = {"stream": "STRING", "event_id": "STRING", "is_kept": "BOOL"}


@dataclass(frozen=True)
class Lists:
    """The lists of one erasure, which its statements read."""

    warehouse: Warehouse
    certificate_id: str
    erased_before: datetime
    names: dict[str, str]
    requested: bigquery.Table

    def run(self, name: str, **values: Any) -> tuple[list[dict[str, Any]], int]:
        """Run a statement of `sql/erasure_v1`, and return its rows and how many rows it changed."""
        return self.run_on(name, {}, **values)

    def run_on(self, name: str, names: dict[str, Any], **values: Any) -> tuple[list[dict[str, Any]], int]:
        """Run a statement as `run` does, with further names filled in."""
        statement = self.warehouse.render(FOLDER / "erasure_v1" / f"{name}.sql", **self.names, **names)
        own = {"certificate_id": self.certificate_id, "erased_before": self.erased_before, **values}
        rows, job = self.warehouse.run(
            statement, parameters({key: value for key, value in own.items() if f"@{key}" in statement})
        )
        return rows, int(job.num_dml_affected_rows or 0)

    def request(self, persons: Persons) -> None:
        """List persons with all their pseudonyms that the subject map has."""
        subjects.load_pseudonyms(self.warehouse, self.requested, iter(sorted(persons.pseudonyms)))
        self.run("requested")
        self.relate()

    def relate(self) -> None:
        """Add the pseudonyms of the listed persons under other keys."""
        while self.run("related")[1]:
            pass

    def read_tombstones(self) -> None:
        """List the persons of an erasure that has begun, with the pseudonyms in the subject map."""
        self.run("listed")
        self.relate()


@contextmanager
def lists(warehouse: Warehouse, certificate_id: str, erased_before: datetime) -> Iterator[Lists]:
    """Create the empty lists of an erasure, and delete them at the end."""
    prefix = f"{warehouse.dataset_id('subjects')}.{subjects.ERASURE_PREFIX}{secrets.token_hex(8)}"
    names = {"subject_list": f"{prefix}_subject", "event_list": f"{prefix}_event", "requested": f"{prefix}_requested"}
    columns = dict(zip(names.values(), (_SUBJECTS, _EVENTS, subjects.PSEUDONYMS), strict=True))
    with subjects.working_tables(warehouse, columns) as (_, _, requested):
        yield Lists(warehouse, certificate_id, erased_before, names, requested)
