"""The budget of a build covers every statement."""

from types import SimpleNamespace
from typing import Any

import pytest

from rawless.datasets.metered import LEAST_BILLED, Meter, metered
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from tests.shop import Shop

MIB = 2**20


def test_each_statement_may_bill_what_the_ones_before_left(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> None:
    limits: list[int | None] = []

    def run(_: Warehouse, *arguments: Any) -> Any:
        limits.append(arguments[-1])
        return [], SimpleNamespace(total_bytes_billed=30 * MIB, total_bytes_processed=1)

    monkeypatch.setattr(Warehouse, "run", run)
    warehouse = metered(shop.warehouse, 75 * MIB)
    warehouse.query("SELECT 1")
    warehouse.query("SELECT 2")
    warehouse.query("SELECT 3")

    assert limits == [75 * MIB, 45 * MIB, 15 * MIB]
    assert warehouse.meter.bytes == 90 * MIB
    with pytest.raises(UserError, match=r"Of budget.max_bytes_billed, which is 78.6 MB, 94.4 MB are used up, and"):
        warehouse.query("SELECT 4")


def test_less_than_bigquery_bills_for_a_statement_is_no_budget() -> None:
    assert Meter(LEAST_BILLED).remaining() == LEAST_BILLED
    with pytest.raises(UserError, match="BigQuery bills at least 10 MiB for a statement"):
        Meter(LEAST_BILLED - 1).remaining()
    assert Meter(None).remaining() is None


def test_a_build_runs_no_statement_beside_its_meter(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    through: list[str] = []
    run, inside = Warehouse.run, [False]

    def recorded(self: Warehouse, statement: str, *arguments: Any) -> Any:
        if type(self) is Warehouse and inside[0]:
            through.append(statement)
        return run(self, statement, *arguments)

    monkeypatch.setattr(Warehouse, "run", recorded)

    def started(_: str) -> None:
        inside[0] = True

    shop.build(on_step=started)

    assert inside[0]
    assert through == []
