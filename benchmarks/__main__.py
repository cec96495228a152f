"""`make bench`: run the benchmarks and compare the results with their required bounds."""

import logging
import warnings
from typing import Annotated

import typer

from benchmarks import (
    adapters,
    backfill,
    bundles,
    claims,
    commands,
    comparison,
    composite,
    connections,
    crashes,
    datasets,
    decoding,
    digest,
    drift,
    dual,
    heads,
    hostile,
    isolation,
    launching,
    memory,
    metering,
    nearest,
    peers,
    preparing,
    runtimes,
    serving,
    serving_images,
    sink,
    startup,
    throughput,
    unchanged,
    worker,
    worker_start,
)
from benchmarks.report import RESULTS, show, store
from benchmarks.work import temporary_home

PARTS = {
    "throughput": throughput.measure,
    "unchanged": unchanged.measure,
    "peers": peers.measure,
    "bundles": bundles.measure,
    "claims": claims.measure,
    "worker": worker.measure,
    "sink": sink.measure,
    "connections": connections.measure,
    "crashes": crashes.measure,
    "memory": memory.measure,
    "backfill": backfill.measure,
    "metering": metering.measure,
    "start-up": startup.measure,
    "commands": commands.measure,
    "launching": launching.measure,
    "worker-start": worker_start.measure,
    "runtimes": runtimes.measure,
    "decoding": decoding.measure,
    "preparing": preparing.measure,
    "composite": composite.measure,
    "hostile": hostile.measure,
    "isolation": isolation.measure,
    "datasets": datasets.measure,
    "digest": digest.measure,
    "dual": dual.measure,
    "drift": drift.measure,
    "heads": heads.measure,
    "adapters": adapters.measure,
    "comparison": comparison.measure,
    "serving": serving.measure,
    "serving-images": serving_images.measure,
    "nearest": nearest.measure,
}


def main(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"The parts to run: {', '.join(PARTS)}. All by default.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="The number of rounds in which each side is timed.")] = 3,
) -> None:
    """Run the benchmarks, print a table, and store each part as JSON, as a table and as a chart."""
    for unknown in set(parts or ()) - set(PARTS):
        raise typer.BadParameter(f"{unknown} is not one of {', '.join(PARTS)}.")
    warnings.simplefilter("ignore")  # from the libraries that are compared
    logging.disable(logging.WARNING)
    figures = []
    for part in parts or PARTS:
        typer.echo(f"{part} …", err=True)
        with temporary_home():
            results = PARTS[part](rounds)
        store(part, results)
        figures += results
    show(figures, f"Medians of {rounds} rounds")
    typer.echo(f"Stored in {RESULTS}, each part as JSON, as a table and as a chart.")


if __name__ == "__main__":
    typer.run(main)
