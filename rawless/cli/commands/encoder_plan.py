"""`rawless encoder plan`: what moving a stream from one encoder to another costs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rawless.cli.commands.encoder import Ref, resolved
from rawless.cli.options import Json, StreamFile, WarehouseFile
from rawless.cli.output import echo, print_json, print_table, progress

if TYPE_CHECKING:
    from rawless.lifecycle.migration_plan import MigrationPlan


def plan(
    first: Ref,
    second: Ref,
    stream: StreamFile,
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, help="Days of logging both. By default what the slowest head needs."),
    ] = None,
    events_per_day: Annotated[
        float | None, typer.Option("--events-per-day", min=0.001, max=1e12, help="By default as in the warehouse.")
    ] = None,
    worker_rate: Annotated[
        float | None,
        typer.Option(
            "--worker-rate", min=0.001, max=1e9, help="Events a second that one worker encodes by the second encoder."
        ),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="The folder of heads that services read. By default the local one."),
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0, max=1, help="What a head may lose, unchanged, and pass.")
    ] = 0.01,
    warehouse: WarehouseFile = None,
    json: Json = False,
) -> None:
    """Say what a migration costs, and which heads pass, are to be trained again, or block it. It changes nothing."""
    from rawless.connect import open_warehouse
    from rawless.events.stream import load_stream
    from rawless.lifecycle.migration_plan import Question, plan_migration
    from rawless.local import home

    loaded, opened = load_stream(stream), open_warehouse(warehouse)
    one, other = resolved(first, warehouse), resolved(second, warehouse)
    for spec in (one, other):
        loaded.check_modality(spec.ref, spec.modality, spec.reads)
    asked = Question(
        stream=loaded.stream,
        first=one,
        second=other,
        heads=heads or home.heads(),
        local_heads=home.heads(),
        days=days,
        events_per_day=events_per_day,
        worker_rate=worker_rate,
        margin=margin,
    )
    with progress(f"Planning from {one.ref} to {other.ref}"):
        found = plan_migration(opened, asked)
    print_json(asdict(found)) if json else _print(found)


def _print(plan: "MigrationPlan") -> None:
    from rawless.lifecycle.migration_plan import ADAPTER_EVENTS, RECENT_DAYS
    from rawless.quantities import format_bytes

    counted = f"counted over the last {RECENT_DAYS} days with events" if plan.is_measured else "as given"
    echo(f"{plan.stream}: {plan.events:,} events by {plan.first}, {plan.both_events:,} of them by {plan.second} too.")
    echo(f"Events a day: {plan.events_per_day:,.1f}, {counted}.")
    echo(f"Logging both for {_days(plan.days)}: {plan.rows:,} rows more, about {format_bytes(plan.size)}.")
    echo(f"Writing them costs {_dollars(plan.write_dollars)}, storing them {_dollars(plan.storage_dollars)} a month.")
    if plan.worker_hours is None or plan.worker_dollars is None:
        echo(f"Encoding them by {plan.second}: not known; give the speed of a worker by --worker-rate.")
    else:
        echo(
            f"Encoding them by {plan.second}: {plan.worker_hours:,.1f} hours of a worker of 2 vCPUs, "
            f"{_dollars(plan.worker_dollars)}."
        )
    if plan.adapter_days is None:
        echo(f"An adapter needs {ADAPTER_EVENTS:,} events with both vectors, which takes more than a year.")
    elif plan.adapter_days:
        echo(f"An adapter needs {ADAPTER_EVENTS:,} events with both vectors: {_days(plan.adapter_days)}.")
    else:
        echo(f"There are enough events with both vectors for an adapter ({ADAPTER_EVENTS:,}).")
    if not plan.heads:
        echo(f"No registered head of {plan.first} is of this stream.")
        return
    print_table([{**asdict(each), "days": "never" if each.days is None else each.days} for each in plan.heads])


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"


def _dollars(amount: float) -> str:
    return "less than 0.01 dollars" if 0 < amount < 0.005 else f"{amount:,.2f} dollars"
