"""`make bench`: what the pipeline costs over its encoder, and what hostile pictures cost."""

import json
import platform
from pathlib import Path
from typing import Any

from benchmarks import hostile, ingest
from rawless.output import print_table, say

RESULTS = Path(__file__).parent / "results"
MACHINE = f"{platform.machine()}, {platform.processor() or platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Measure, print, and keep the results with the machine named."""
    _keep("hostile_pictures", hostile.measure(), "Judging hostile pictures, medians, each in a process of its own")
    _keep("ingest", ingest.measure(), f"Ingest against its encoder on the CPU, {ingest.ROUNDS} rounds")


def _keep(name: str, rows: list[dict[str, Any]], title: str) -> None:
    print_table(rows, f"{title} ({MACHINE})")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": MACHINE, "figures": rows}, indent=2))
    say(f"Kept in benchmarks/results/{name}.json.")


if __name__ == "__main__":
    main()
