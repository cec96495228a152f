"""Write docs/scale-and-cost.md: scale and cost, computed from benchmark results and published prices.

Run it with `python -m benchmarks.scale`. It measures nothing; the page marks what was never measured as an assumption.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import capacity, ceilings
from benchmarks.capacity import (
    HOUR,
    KINDS,
    LOADS,
    MILLION,
    RATES,
    Backfill,
    Load,
    Worker,
    assumed,
    limit,
    price,
    worker,
)
from rawless.cli.output import echo
from rawless.datasets.cost import dollars, format_bytes, row_bytes
from rawless.events import line_ranges
from rawless.events.sources import parquet

PAGE = Path(__file__).parent.parent / "docs" / "scale-and-cost.md"
_SIZES = (1024, 10 * 1024, 100 * 1024, 1024 * 1024)
_DIMENSIONS = (384, 2048)
_NAMES = {
    "pubsub": "Pub/Sub, content inline",
    "claims": "Pub/Sub, claim checks",
    "write": "Storage Write throughput",
    "connections": "Storage Write connections",
    "workers": "workers of one job",
    "object_reads": "reads of a bucket",
}
_RATE_LIMITS = ("pubsub", "claims", "write", "connections", "workers")
_NONE = "none"
_BACKFILL = 100 * MILLION
_CARDS: tuple[capacity.Kind, ...] = ("T4", "L4")


def page() -> str:
    """Return the complete page."""
    parts = (
        _head(),
        at_rest(),
        _workers(),
        _ceilings(),
        _rates(),
        _backfill(),
        _payloads(),
        _storage(),
        _subjects(),
        _limits(),
        _sources(),
    )
    return "\n\n".join(parts) + "\n"


def _head() -> str:
    return """# Scale and cost, computed

Computed by `python -m benchmarks.scale` from the throughput in [benchmarks/results](../benchmarks/results) and the
prices in [benchmarks/prices.yaml](../benchmarks/prices.yaml), in US dollars. **Only the CPU was measured**, one worker
with two cores, and throughput is assumed to be proportional to the number of workers. **Nothing was measured on a T4 or
an L4**: their throughput is an assumed share of a ceiling that is computed from counted bytes and operations. The last
section names the source of every figure."""


def at_rest() -> str:
    """Return the section about the cost per month while no events arrive."""
    month = assumed("month")
    cpu, memory = (assumed(f"service_{part}") * price(f"run_{part.removesuffix('s')}") for part in ("cpus", "memory"))
    rows = [
        *((f"a stream's job, one {kind} worker", f"{price(f'{kind.lower()}_worker') * month:,.0f}") for kind in KINDS),
        ("encoder, classifier and orchestrator, one instance each", f"{(cpu + memory) * month * HOUR:,.0f}"),
        ("keys, and the pseudonym key's secret", f"{assumed('keys') * price('kms_key') + price('secret'):,.2f}"),
        ("topics, subscriptions, buckets, tables, network, perimeter, alerts", "0, except for what they contain"),
    ]
    return f"""## At rest

{_table(("part", "dollars a month"), rows)}"""


def _workers() -> str:
    rows = []
    for load in LOADS:
        for kind in KINDS:
            estimate = worker(kind, load)
            basis = "measured" if kind == "CPU" else f"ASSUMPTION: {assumed('reached'):.0%} of the ceiling"
            host = _NONE if kind == "CPU" else f"{estimate.host:,.0f}"
            most = _NONE if kind == "CPU" else f"{estimate.ceiling:,.0f}"
            throughput = f"{estimate.throughput:,.0f}"
            model = f"{estimate.model:,.0f}"
            rows.append((load.encoder, kind, most, model, host, throughput, estimate.bottleneck, basis))
    columns = ("ceiling", "model", "cores", "used at")
    head = ("encoder", "worker", *(f"{column}, events/s" for column in columns), "limited by", "basis")
    return f"""## Throughput of one worker

A GPU is assumed to reach {assumed("reached"):.0%} of its [ceiling](#ceilings-of-a-gpu) in fp32; that was never
measured. Beside it, {assumed("host_cores"):.0f} vCPUs decode or tokenize, and write rows: assumed for images and texts,
measured for rows. The slower of the two determines the throughput. Workers are used to {assumed("busy"):.0%} of their
capacity.

{_table(head, rows)}

If the cores limit a worker, a faster GPU does not help; more vCPUs beside it do."""


def _ceilings() -> str:
    rows = []
    for load in LOADS:
        for variant, count in ceilings.counts()[load.encoder].items():
            if variant == "fp32, folded" and load.modality == "text":  # which has no batch normalisation
                continue
            size = count.activations + count.weights / capacity.BATCHES[load.modality]
            cells = (f"{most:,.0f}, by {limit}" for most, limit in (capacity.ceiling(c, load, variant) for c in _CARDS))
            rows.append((load.encoder, variant, format_bytes(size), f"{count.operations / 1e9:.2f}", *cells))
    head = ("encoder", "precision", "moved per event", "10^9 operations per event", *_CARDS)
    return f"""## Ceilings of a GPU

The events a second that a model cannot exceed on a card, **not measurements**: `python -m benchmarks.ceilings` counts
the bytes that its operations read and write and the operations of its matrix products, and the card's published
bandwidth and peak are divided by them. The smaller quotient is the ceiling. It is that of operations that are not fused
with one another; `folded` has batch normalisation in the weights of the convolutions. Images of 224 pixels in batches
of {capacity.BATCHES["image"]}, texts of {ceilings.TOKENS} tokens in batches of {capacity.BATCHES["text"]:,}.

{_table(head, rows)}"""


def _rates() -> str:
    rows = []
    for load in LOADS:
        for kind in KINDS:
            cells = [_cell(worker(kind, load), rate) for rate in RATES]
            rows.append((load.encoder, kind, *cells))
    head = ("encoder", "worker", *(f"{rate:,} events/s" for rate in RATES))
    transfer = ", ".join(
        f"{load.encoder} {capacity.inline(load.payload):,.2f} for messages and {_write_cost(load):,.2f} for rows"
        for load in LOADS
    )
    return f"""## Workers, and dollars per million events

Each cell contains the number of workers · the dollars per million events for the workers. In addition a million events
cost, at any rate, {transfer}.

{_table(head, rows)}"""


def _cell(estimate: Worker, rate: float) -> str:
    count = estimate.workers_for(rate)
    note = " (above the limit of one job)" if count > capacity.limit("workers") else ""
    return f"{count:,} · {estimate.dollars(rate):,.2f}{note}"


def _write_cost(load: Load) -> float:
    return MILLION * load.row / capacity.GIB * price("bigquery_write")


def backfills() -> Iterator[Backfill]:
    """Yield backfills of texts and of images, from each kind of source that is usual for them."""
    text, image = LOADS
    for kind in ("CPU", "L4"):
        yield Backfill("jsonl:, texts", text, kind, _BACKFILL, line_ranges.RANGE, has_objects=False)
        yield Backfill("parquet:, texts", text, kind, _BACKFILL, parquet.SHARD_BYTES, has_objects=False)
        yield Backfill("parquet:, images", image, kind, _BACKFILL, parquet.SHARD_BYTES, has_objects=False)
        yield Backfill("bigquery:, uri of images", image, kind, _BACKFILL, 0, has_objects=True)


def _backfill() -> str:
    rows = []
    for each in backfills():
        name, used = next(iter(each.usage.items()))
        rows.append(
            (
                each.source,
                each.load.encoder,
                each.kind,
                f"{each.splits:,}",
                f"{each.workers:,}",
                f"{each.hours:.1f}",
                f"{each.worker_dollars:,.2f}",
                f"{each.read_dollars:,.2f}",
                f"{each.write_dollars:,.2f}",
                f"{_NAMES[name]}, used to {used:.0%}",
            )
        )
    dollars_of = (f"dollars for {part}" for part in ("workers", "reading", "rows"))
    head = ("source", "encoder", "worker", "splits", "workers", "hours", *dollars_of, "nearest limit")
    return f"""## A backfill of 100 million events

Texts of {format_bytes(LOADS[0].payload)} and images of {format_bytes(LOADS[1].payload)}, as in the other sections.
Splits are the parts of a source that workers read independently: ranges of {format_bytes(line_ranges.RANGE)} of JSON
lines, ranges of {format_bytes(parquet.SHARD_BYTES)} of Parquet, if its row groups are that small, and the streams of a
table. The number of workers is the smallest that ends within {limit("session"):.0f} hours, when BigQuery ends the
session of a table; some workers have one split more than the others. Half as many workers take twice as long for the
same price, where the source is no table. The quota of GPUs comes before each limit. A bucket serves more reads than
its limit after some minutes of them. Reading from another region than the bucket's costs extra.

{_table(head, rows)}

A listing has a request for each 1,000 files, and each worker process keeps it in memory: a million files are a few
hundred megabytes. `python -m benchmarks backfill` measures that a job of 2,000 files is linear and flat."""


def _payloads() -> str:
    rows = [
        (
            format_bytes(size),
            f"{capacity.inline(size):,.2f}",
            f"{capacity.claim_check(size):,.2f}",
            f"{capacity.claim_check(size, is_stored=True):,.2f}",
        )
        for size in _SIZES
    ]
    head = ("payload", "inline", "claim check", "claim check, existing object")
    return f"""## Inline payload or claim check

Dollars to transfer a million payloads. Inline: publishing, delivering and Streaming Engine. Claim check: a message with
the name of an object, and writing, reading and storing the object for {assumed("kept_days"):.0f} days.
A claim check is cheaper from {format_bytes(capacity.break_even())} on,
or from {format_bytes(capacity.break_even(is_stored=True))} on if the object exists anyway, such as an upload.

{_table(head, rows)}"""


def _storage() -> str:
    rows = []
    for dimension in _DIMENSIONS:
        size = row_bytes(dimension) * MILLION
        stored = size / capacity.GIB * price("bigquery_storage")
        write = size / capacity.GIB * price("bigquery_write")
        rows.append((f"{dimension:,}", format_bytes(size), f"{stored:,.2f}", f"{write:,.2f}", f"{dollars(size):,.3f}"))
    head = ("dimension", "bytes per million rows", "storing, per month", "writing", "reading once, completely")
    return f"""## Storage and scan

For a million rows of `embedding_event_v1`, with vectors as FLOAT64. [snapshot-cost.md](snapshot-cost.md) describes how
much of them building a snapshot reads.

{_table(head, rows)}"""


def _subjects() -> str:
    cases = (
        ("1 M, the first sync", 0, MILLION, MILLION),
        ("100 M, the first sync", 0, 100 * MILLION, 100 * MILLION),
        ("100 M, of whom 100,000 are new", 100 * MILLION, 100 * MILLION, 100_000),
        ("100 M, after a change of the key", 100 * MILLION, 100 * MILLION, 100 * MILLION),
    )
    rows = []
    for name, mapped, customers, new in cases:
        size = capacity.sync_bytes(mapped, customers, new)
        rows.append((name, format_bytes(size), f"{dollars(size):,.2f}"))
    return f"""## Subject map

`rawless subjects sync` compares the customers of a table with the subject map in one statement, and adds the new ones
in another, however many there are. Ids of twelve characters:

{_table(("customers", "bytes read", "dollars"), rows)}"""


def _limits() -> str:
    rows = [
        (load.encoder, f"{rate:,}", f"{capacity.gpus(load, rate):,}", *_exceeded(load, rate))
        for load in LOADS
        for rate in RATES
    ]
    head = ("encoder", "events/s", "GPU quota needed", "first limit", "further limits")
    return f"""## Limits

The quota of GPUs is the first limit: a new project has next to none, and `rawless doctor --warehouse FILE` names what
is missing for the options of a job. The other limits, with the workers that have the highest throughput and BigQuery
in a multi-region:

{_table(head, rows)}

The events per second at which each limit is reached:

{_table(("encoder", *(_NAMES[name] for name in _RATE_LIMITS)), _limit_rows())}

BigQuery's older streaming inserts, which have a separate quota, are not used. To exceed the limits of one job, divide a
stream, or use a subscription and a job for each region. Claim checks reduce the load on Pub/Sub. More quota, or a
dataset in each region, allows more rows."""


def _exceeded(load: Load, rate: float) -> tuple[str, str]:
    """The first limit that a rate of inline content exceeds, or the nearest one, and the further exceeded limits."""
    limits = {name: maximum for name, maximum in capacity.limit_rates(load).items() if name != "claims"}
    exceeded = [f"{_NAMES[name]} ({rate / maximum:,.1f} times)" for name, maximum in limits.items() if rate > maximum]
    if exceeded:
        return exceeded[0], ", ".join(exceeded[1:]) or _NONE
    nearest, maximum = next(iter(limits.items()))
    return f"none; the nearest is {_NAMES[nearest]}, used to {rate / maximum:.2%}", _NONE


def _limit_rows() -> Iterator[tuple[str, ...]]:
    for load in LOADS:
        limits = capacity.limit_rates(load)
        yield (load.encoder, *(f"{limits[name]:,.0f}" for name in _RATE_LIMITS))


def _sources() -> str:
    rows = [_source(kind, figure) for kind, group in capacity.figures().items() for figure in group.values()]
    return f"""## Sources

Measured figures are those of throughput, runtimes and sink in benchmarks/results, which also name the machine.
Ceilings follow from benchmarks/results/ceilings.json and the published figures of the cards. Published and assumed
figures are listed below. A figure that was never looked up was written from memory: verify it before you rely on it.

{_table(("kind", "subject", "figure", "source", "looked up"), rows)}"""


def _source(kind: str, figure: dict[str, Any]) -> tuple[str, ...]:
    looked_up = "assumed" if kind == "assumed" else str(figure.get("looked_up", "never"))
    return (kind, figure["of"], f"{float(figure['value']):,.10g} {figure['unit']}", figure["source"], looked_up)


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())
    echo(f"Wrote docs/{PAGE.name}.")


if __name__ == "__main__":
    main()
