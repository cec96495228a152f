"""Empty warehouses for tests: making one takes the local BigQuery four times as long as emptying one."""

import itertools
from collections import Counter, deque

from rawless.local.stack import Stack
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import WarehouseConfig
from rawless.warehouse.tables import ROLES, names

RESTING = 2
"""Warehouses that rest before one is used again, so that what a test left running cannot write into the next test's.

They are few, since the local BigQuery keeps the translations of its latest statements, which name their datasets.
"""

USES = 30
"""Tests that use a warehouse: its jobs stay, and `Warehouse.run_in_turn` asks for each that had the same key."""


class WarehousePool:
    """Hands out warehouses with all tables and no rows, each with datasets of its own."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._numbers = itertools.count()
        self._used: deque[Warehouse] = deque()
        self._uses = Counter[WarehouseConfig]()

    def make(self) -> Warehouse:
        """A new warehouse."""
        number = next(self._numbers)
        datasets = {role: f"{role}_{number}" for role in ROLES}
        config = WarehouseConfig.model_validate({"project": "local-dev", **datasets})
        warehouse = Warehouse(config, self._stack.bigquery, retry_seconds=5.0)
        warehouse.ensure()
        return warehouse

    def take(self) -> Warehouse:
        """An empty warehouse: one that was given back a while ago, or a new one."""
        while len(self._used) > RESTING:
            used = self._used.popleft()
            warehouse = Warehouse(used.config, self._stack.bigquery, retry_seconds=5.0)
            if self._uses[used.config] < USES and _empty(warehouse):
                return warehouse
        return self.make()

    def give_back(self, warehouse: Warehouse) -> None:
        """Take a warehouse back whose tables have the columns that they had."""
        self._used.append(warehouse)
        self._uses[warehouse.config] += 1


def _empty(warehouse: Warehouse) -> bool:
    """Delete all rows and all tables but Rawless's own; say whether those are all there."""
    own = set(names())
    for role in ROLES:
        for table in warehouse.client.list_tables(warehouse.dataset_id(role)):
            if table.table_type == "VIEW":  # the local BigQuery deletes only tables
                warehouse.query(f"DROP VIEW `{table.full_table_id.replace(':', '.')}`")
            elif table.table_id not in own:
                warehouse.client.delete_table(table.reference)
            own.discard(table.table_id)
    if own:
        return False
    counts = ", ".join(f"(SELECT COUNT(*) FROM `{warehouse.table_id(name)}`) AS {name}" for name in names())
    (rows,) = warehouse.query(f"SELECT {counts}")
    for name, count in rows.items():
        if count:
            warehouse.query(f"DELETE FROM `{warehouse.table_id(name)}` WHERE TRUE")
    return True
