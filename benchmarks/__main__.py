"""`make bench`: speed side by side, memory and start-up, with what must hold."""

import logging
import warnings
from typing import Annotated

import typer

from benchmarks import bundles, datasets, heads, hostile, memory, runtimes, serving, sink, startup, throughput
from benchmarks.report import RESULTS, keep, show
from benchmarks.work import own_home

PARTS = {
    "throughput": throughput.measure,
    "bundles": bundles.measure,
    "sink": sink.measure,
    "memory": memory.measure,
    "start-up": startup.measure,
    "runtimes": runtimes.measure,
    "hostile": hostile.measure,
    "datasets": datasets.measure,
    "heads": heads.measure,
    "serving": serving.measure,
}


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(PARTS)}; all when none is named.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each side is timed.")] = 3,
) -> None:
    """Measure, print one table, and keep each part with the machine named: as JSON, as a table and as a chart."""
    for unknown in set(parts or ()) - set(PARTS):
        raise typer.BadParameter(f"{unknown} is none of {', '.join(PARTS)}.")
    warnings.simplefilter("ignore")  # of the stock parts
    logging.disable(logging.WARNING)
    figures = []
    for part in parts or PARTS:
        typer.echo(f"{part} …", err=True)
        with own_home():
            found = PARTS[part](rounds)
        keep(part, found)
        figures += found
    show(figures, f"Medians of {rounds} rounds")
    typer.echo(f"Kept in {RESULTS}, each part as JSON, as a table and as a chart.")


if __name__ == "__main__":
    typer.run(main)
