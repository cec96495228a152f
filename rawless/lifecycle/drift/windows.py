"""Reading windows of a stream: sums over all rows, and a sample of the vectors, in one reading of each vector."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from rawless.lifecycle.drift.compare import Window
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters, structs
from rawless.warehouse.tables import FOLDER

WINDOW_SAMPLE, REFERENCE_SAMPLE = 500, 3_000
"""About how many vectors of a window, and of all windows of a reference, are read to this process."""
_COUNTS, _SUMS, _REJECTED = (FOLDER / "drift_v1" / f"{name}.sql" for name in ("counts", "sums", "rejected"))
_FIELDS = {"number": "INT64", "start_at": "TIMESTAMP", "end_at": "TIMESTAMP", "share": "FLOAT64"}
Times = tuple[datetime, datetime]


def divide(start_at: datetime, end_at: datetime, length: timedelta) -> list[Times]:
    """Return the whole windows of a period, the first first."""
    count = (end_at - start_at) // length
    return [(start_at + number * length, start_at + (number + 1) * length) for number in range(count)]


def read_windows(
    warehouse: Warehouse, stream: str, fingerprint: str, windows: Sequence[Times], *, together: bool = False
) -> list[Window]:
    """Return what is known of windows that follow each other. Raises what `Warehouse.query` raises.

    With `together` they are a reference, of which one sample is drawn; otherwise one is drawn of each window.
    """
    parts = [{"number": n, "start_at": start, "end_at": end, "share": 1.0} for n, (start, end) in enumerate(windows)]
    period = {"start_at": windows[0][0], "end_at": windows[-1][1], "stream": stream, "fingerprint": fingerprint}
    given = parameters(period)

    def query(name: Any) -> list[dict[str, Any]]:
        return warehouse.query(warehouse.render(name), [*given, structs("windows", _FIELDS, parts)])

    counts = {row["number"]: row["row_count"] for row in query(_COUNTS)}
    total = sum(counts.values())
    for part in parts:
        rows, wanted = (total, REFERENCE_SAMPLE) if together else (counts.get(part["number"], 0), WINDOW_SAMPLE)
        part["share"] = min(1.0, wanted / rows) if rows else 1.0
    places: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in query(_SUMS) if total else ():
        places[row["number"]].append(row)
    rejected: dict[int, dict[str, int]] = defaultdict(dict)
    for row in query(_REJECTED):
        rejected[row["number"]][row["reason"]] = row["deliveries"]
    return [_window(*times, places[number], rejected[number]) for number, times in enumerate(windows)]


def _window(start_at: datetime, end_at: datetime, places: list[dict[str, Any]], rejected: dict[str, int]) -> Window:
    if not places:
        return Window(start_at, end_at, 0, np.zeros(0), 0.0, 0.0, np.zeros((0, 0)), rejected)
    return Window(
        start_at,
        end_at,
        places[0]["row_count"],
        np.array([row["mean"] for row in places]),
        places[0]["norm"],
        places[0]["squared_norm"],
        np.array([row["sample"] for row in places]).T,
        rejected,
    )
