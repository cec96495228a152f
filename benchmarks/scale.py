"""Scale and cost on paper: docs/scale-and-cost.md, from measured throughput and published prices.

`python -m benchmarks.scale`. Nothing is measured here; what never was is called an assumption in the page.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import capacity
from benchmarks.capacity import HOUR, KINDS, LOADS, MILLION, RATES, Load, Worker, assumed, price, worker
from rawless.cli.output import echo
from rawless.datasets.cost import dollars, told

PAGE = Path(__file__).parent.parent / "docs" / "scale-and-cost.md"
_SIZES = (1024, 10 * 1024, 100 * 1024, 1024 * 1024)
_DIMENSIONS = (384, 2048)
_NAMES = {
    "pubsub": "Pub/Sub, content inline",
    "claims": "Pub/Sub, claim checks",
    "write": "Storage Write throughput",
    "connections": "Storage Write connections",
    "workers": "workers of one job",
}
_NONE = "none"


def page() -> str:
    """The whole page."""
    parts = (_head(), at_rest(), _workers(), _rates(), _payloads(), _storage(), _limits(), _sources())
    return "\n\n".join(parts) + "\n"


def _head() -> str:
    return """# Scale and cost, on paper

Computed by `python -m benchmarks.scale` from the throughput in [benchmarks/results](../benchmarks/results) and the
prices in [benchmarks/prices.yaml](../benchmarks/prices.yaml), in US dollars. **Only the CPU was measured**, one worker
of two cores, and workers are taken to add up. **No T4 and no L4 ever ran this**: their figures are an assumption, each
with the ratio that it rests on. The last section names every figure's source."""


def at_rest() -> str:
    """What each part costs a month while nothing comes."""
    month = assumed("month")
    cpu, memory = (assumed(f"service_{each}") * price(f"run_{each.removesuffix('s')}") for each in ("cpus", "memory"))
    rows = [
        *((f"a stream's job, one {kind} worker", f"{price(f'{kind.lower()}_worker') * month:,.0f}") for kind in KINDS),
        ("encoder, classifier and orchestrator, one instance each", f"{(cpu + memory) * month * HOUR:,.0f}"),
        ("keys, and the pseudonym key's secret", f"{assumed('keys') * price('kms_key') + price('secret'):,.2f}"),
        ("topics, subscriptions, buckets, tables, network, perimeter, alerts", "0, but for what lies in them"),
    ]
    return f"""## At rest

{_table(("part", "dollars a month"), rows)}"""


def _workers() -> str:
    rows = []
    for load in LOADS:
        for kind in KINDS:
            found = worker(kind, load)
            basis = "measured" if kind == "CPU" else f"ASSUMPTION: {found.ratio:.0f} times the measured two cores"
            host = _NONE if kind == "CPU" else f"{found.host:,.0f}"
            rows.append((load.encoder, kind, f"{found.model:,.0f}", host, f"{found.carries:,.0f}", found.bound, basis))
    head = ("encoder", "worker", "model, events/s", "cores, events/s", "kept at", "bound by", "basis")
    return f"""## What one worker carries

A GPU is taken to reach {assumed("reached"):.0%} of its published fp32 peak; the ratio is that over the arithmetic that
OpenVINO was measured to do on two cores. Beside it {assumed("host_cores"):.0f} vCPUs decode or tokenize, and write
rows; the smaller of the two counts. Workers are kept {assumed("busy"):.0%} busy.

{_table(head, rows)}

Where the cores bound a worker, a faster GPU buys nothing: more vCPUs beside it do."""


def _rates() -> str:
    rows = []
    for load in LOADS:
        for kind in KINDS:
            found = worker(kind, load)
            cells = [_cell(found, rate) for rate in RATES]
            rows.append((load.encoder, kind, *cells))
    head = ("encoder", "worker", *(f"{rate:,} events/s" for rate in RATES))
    carried = ", ".join(
        f"{load.encoder} {capacity.inline(load.payload):,.2f} inline and {_written(load):,.2f} to write rows"
        for load in LOADS
    )
    return f"""## Workers, and dollars a million events

Each cell: workers · dollars a million events for the workers alone. Beside them a million events cost, at any rate,
{carried}.

{_table(head, rows)}"""


def _cell(found: Worker, rate: float) -> str:
    over = " (more than one job may have)" if found.needed(rate) > capacity.limit("workers") else ""
    return f"{found.needed(rate):,} · {found.dollars(rate):,.2f}{over}"


def _written(load: Load) -> float:
    return MILLION * load.row / capacity.GIB * price("bigquery_write")


def _payloads() -> str:
    rows = [
        (
            told(size),
            f"{capacity.inline(size):,.2f}",
            f"{capacity.claim_check(size):,.2f}",
            f"{capacity.claim_check(size, stored_anyway=True):,.2f}",
        )
        for size in _SIZES
    ]
    head = ("payload", "inline", "claim check", "claim check, object there anyway")
    return f"""## Inline against claim check

Dollars to carry a million payloads: Pub/Sub both ways and what Streaming Engine takes in, against a message with the
object's name, writing, reading, and keeping the object {assumed("kept_days"):.0f} days. A claim check is cheaper from
{told(capacity.crossing())} on; where the object is there anyway, as an upload is, from
{told(capacity.crossing(stored_anyway=True))} on.

{_table(head, rows)}"""


def _storage() -> str:
    rows = []
    for dimension in _DIMENSIONS:
        size = capacity.row_bytes(dimension) * MILLION
        kept = size / capacity.GIB * price("bigquery_storage")
        write = size / capacity.GIB * price("bigquery_write")
        rows.append((f"{dimension:,}", told(size), f"{kept:,.2f}", f"{write:,.2f}", f"{dollars(size):,.3f}"))
    head = ("dimension", "bytes a million", "to keep, a month", "to write", "to read once, whole")
    return f"""## Storage and scan

For a million rows of `embedding_event_v1`, vectors as FLOAT64. [snapshot-cost.md](snapshot-cost.md) says what building
a snapshot reads of them.

{_table(head, rows)}"""


def _limits() -> str:
    rows = [
        (load.encoder, f"{rate:,}", f"{capacity.gpus(load, rate):,}", *_broken(load, rate))
        for load in LOADS
        for rate in RATES
    ]
    head = ("encoder", "events/s", "GPUs to ask for", "breaks first", "and then")
    return f"""## What breaks first

A quota of GPUs comes before all else: a new project has next to none, and `rawless doctor --warehouse FILE` names what
is missing for a job's options. Then, with workers of the kind that carries most, and BigQuery in a multi-region:

{_table(head, rows)}

Each limit is reached at, in events a second:

{_table(("encoder", *_NAMES.values()), _reached())}

BigQuery's older streaming inserts, with a quota of their own, are not used. Beyond one job: a subscription and a job
for each part of a stream, or each region; a claim check takes content out of Pub/Sub; more quota, or a dataset in each
region, takes more rows."""


def _broken(load: Load, rate: float) -> tuple[str, str]:
    """What breaks first, or is next to, and what after it. Content goes inline."""
    limits = {name: at for name, at in capacity.reached(load).items() if name != "claims"}
    over = [f"{_NAMES[name]} ({rate / at:,.1f} times it)" for name, at in limits.items() if rate > at]
    if over:
        return over[0], ", ".join(over[1:]) or _NONE
    nearest, at = next(iter(limits.items()))
    return f"nothing; next is {_NAMES[nearest]}, used to {rate / at:.2%}", _NONE


def _reached() -> Iterator[tuple[str, ...]]:
    for load in LOADS:
        limits = capacity.reached(load)
        yield (load.encoder, *(f"{limits[name]:,.0f}" for name in _NAMES))


def _sources() -> str:
    rows = [_source(kind, each) for kind, group in capacity.figures().items() for each in group.values()]
    return f"""## Where the figures come from

Measured: throughput, runtimes and sink in benchmarks/results, with their machine named. Published and assumed: as
below. What was never looked up was written from memory of its page: check it before you rely on it.

{_table(("kind", "of", "figure", "source", "looked up"), rows)}"""


def _source(kind: str, each: dict[str, Any]) -> tuple[str, ...]:
    looked_up = "assumed" if kind == "assumed" else str(each.get("looked_up", "never"))
    return (kind, each["of"], f"{float(each['value']):,.10g} {each['unit']}", each["source"], looked_up)


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page())
    echo(f"Written: docs/{PAGE.name}.")


if __name__ == "__main__":
    main()
