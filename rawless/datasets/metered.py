"""A warehouse whose statements together may bill a limited number of bytes."""

from dataclasses import dataclass, field
from typing import Any

from google.cloud import bigquery

from rawless.errors import UserError
from rawless.quantities import format_bytes
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import Parameters

LEAST_BILLED = 10 * 2**20
"""BigQuery bills at least so many bytes for a statement, and refuses one that may not."""


@dataclass(frozen=True)
class Meter:
    """The bytes that statements were billed, and how many they may be."""

    max_bytes: int | None
    _billed: list[int] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Return the bytes billed so far."""
        return sum(self._billed)

    def remaining(self) -> int | None:
        """Return how many bytes the next statement may bill, None for any number. Raises UserError for too few."""
        if self.max_bytes is None:
            return None
        remaining = self.max_bytes - self.bytes
        if remaining < LEAST_BILLED:
            raise UserError(
                f"Of budget.max_bytes_billed, which is {format_bytes(self.max_bytes)}, {format_bytes(self.bytes)} are "
                "used up, and BigQuery bills at least 10 MiB for a statement: raise it, or choose fewer events."
            )
        return remaining

    def add(self, job: bigquery.QueryJob) -> None:
        """Add what a statement was billed."""
        self._billed.append(int(job.total_bytes_billed or job.total_bytes_processed or 0))


@dataclass(frozen=True)
class MeteredWarehouse(Warehouse):
    """A warehouse that counts what its statements bill, and refuses one beyond the limit."""

    meter: Meter = field(default_factory=lambda: Meter(None))

    def run(
        self, statement: str, parameters: Parameters = (), max_bytes: int | None = None
    ) -> tuple[list[dict[str, Any]], bigquery.QueryJob]:
        """Run one statement as `Warehouse.run` does, within what the meter has left."""
        limits = [limit for limit in (max_bytes, self.meter.remaining()) if limit is not None]
        rows, job = super().run(statement, parameters, min(limits, default=None))
        self.meter.add(job)
        return rows, job


def metered(warehouse: Warehouse, max_bytes: int | None) -> MeteredWarehouse:
    """Return the same warehouse with a meter."""
    return MeteredWarehouse(warehouse.config, warehouse.emulator, warehouse.retry_seconds, Meter(max_bytes))
