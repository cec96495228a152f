"""The sections of docs/scale-and-cost.md about what a deployment and its events cost beside the workers' throughput."""

from collections.abc import Iterator

from benchmarks import capacity
from benchmarks.capacity import HOUR, KINDS, LOADS, MACHINES, MILLION, Load, assumed, measured, price, setting, worker
from benchmarks.known import Basis, Known
from benchmarks.marked_table import LEGEND, mark, table
from rawless.datasets.cost import GIB, TIB, row_bytes
from rawless.quantities import format_bytes

_SIZES = (1024, 10 * 1024, 100 * 1024, 1024 * 1024, 4 * 1024 * 1024)
_DIMENSIONS = (384, 2048)
_RATE = 1_000
_CENTS = ",.2f"
_KEYS = "keys, and the pseudonym key's secret; each rotation, every 90 days, adds a version of each key"


def sections() -> Iterator[str]:
    """Yield the sections, but that of the cost at rest."""
    yield _million()
    yield _payloads()
    yield _engine()
    yield _logs()
    yield _disks()
    yield _storage()
    yield _subjects()


def at_rest() -> str:
    """Return the section about the cost per month while no events arrive."""
    month = setting("month")
    services = setting("service_cpus") * price("run_cpu") + setting("service_memory") * price("run_memory")
    rows = [
        *((f"a stream's job, one {kind} worker", mark(MACHINES[kind].hourly() * month)) for kind in KINDS),
        ("encoder, classifier and orchestrator, one instance each", mark(services * month * HOUR)),
        (_KEYS, mark(setting("keys") * price("kms_key") + price("secret"), _CENTS)),
        ("topics, subscriptions, buckets, tables, network, perimeter, alerts", "none, except for what they contain"),
    ]
    return f"""## At rest

{table(("part", "dollars a month"), rows)}

Marks: {LEGEND}; a figure that was computed has the mark of its least sure part."""


def _million() -> str:
    rows = []
    for load in LOADS:
        cheapest = min((worker(kind, load) for kind in KINDS), key=lambda of: float(of.dollars(_RATE)))
        parts = (cheapest.dollars(_RATE), capacity.transfer(load), _rows_written(load), _logged())
        total = parts[0] + parts[1] + parts[2] + parts[3]
        rows.append((load.name, cheapest.machine.kind, *(mark(part, _CENTS) for part in (*parts, total))))
    head = ("events", "worker", "workers", "messages and objects", "rows", "logs", "together")
    return f"""## What a million events cost

**Photographs cost their decoding, inline images their messages.** Dollars at {_RATE:,} events a second, with the
cheapest worker. Messages include Streaming Engine; the objects of photographs exist, such as uploads.

{table(head, rows, labels=2)}"""


def _rows_written(load: Load) -> Known:
    return MILLION * load.row / GIB * price("bigquery_write")


def _logged() -> Known:
    """The dollars of what a job logs for a million events."""
    return MILLION / GIB * measured("preparing", "logs", "for an event") * price("logs")


def _payloads() -> str:
    rows = [
        (
            format_bytes(size),
            mark(capacity.inline(size), _CENTS),
            mark(capacity.claim_check(size), _CENTS),
            mark(capacity.claim_check(size, is_stored=True), _CENTS),
        )
        for size in _SIZES
    ]
    head = ("payload", "inline", "claim check", "claim check, existing object")
    return f"""## Inline payload or claim check

**A claim check is cheaper from {mark(capacity.break_even(), format_bytes)} on**, or from
{mark(capacity.break_even(is_stored=True), format_bytes)} on if the object exists anyway, such as an upload. A message
can have 10 MB at most. Dollars to transfer a million payloads. Inline: publishing, delivering and Streaming Engine.
Claim check: a message with the name of an object, and writing, reading and storing the object for
{assumed("kept_days").value:.0f} days.

{table(head, rows)}"""


def _engine() -> str:
    rows = [
        (load.name, *(mark(capacity.engine(load.message, at_least_once=mode), ",.3f") for mode in (True, False)))
        for load in LOADS
    ]
    head = ("events", "`at_least_once = true`, by compute units", "`at_least_once = false`, by data processed")
    return f"""## Streaming Engine

**Terraform's default, at least once, is billed by compute units, which cost a fraction of the data processed.** The
mode switches the billing by itself. Google published {assumed("engine_units").value:.0f} units for 1 GiB a second from
Kafka to BigQuery exactly once, and none at least once. That a job needs as many with Pub/Sub is assumed, and the first
job has to show it (`Streaming Engine Compute Units` in the console). Dollars per million events:

{table(head, rows)}"""


def _logs() -> str:
    line = MILLION * assumed("line") / GIB * price("logs")
    audit = price("logs") + price("logs_kept") * (setting("log_days") / 30 - 1)
    rows = [
        ("bytes that a job logs for an event", mark(measured("preparing", "logs", "for an event"))),
        ("dollars for a million events, if a step logged one line for each", mark(line, _CENTS)),
        (f"dollars for a GiB in the locked bucket of audit logs, {setting('log_days'):.0f} days", mark(audit, _CENTS)),
    ]
    return f"""## Logs

**A job logs nothing for an event**, so its logs stay within the 50 GiB a month and project that are free. Measured with
the local runner, at the level at which workers of Dataflow log; their own lines were not measured there. Audit logs
leave out a job's reads of messages and objects ([deploy.md](deploy.md#what-is-recorded-about-access)).

{table(("what", "figure"), rows)}"""


def _disks() -> str:
    hours = setting("month")
    rows = [
        (f"{size} GiB", *(mark(price(kind) * size * hours, _CENTS) for kind in ("disk", "disk_ssd")))
        for size in (50, int(setting("disk")), 250)
    ]
    return f"""## Boot disk

**A worker's boot disk costs little beside its processors**: do not save on it. `disk_size_gb` has to hold the image
[three times and 30 GB](dataflow.md#starting-a-worker) for the machine; Terraform refuses less than 50. G2 machines,
which have L4s, have no standard disks: theirs count against `SSD_TOTAL_GB`. Dollars a month:

{table(("disk of a worker", "standard", "SSD"), rows)}"""


def _storage() -> str:
    rows = []
    for dimension in _DIMENSIONS:
        size = Known(row_bytes(dimension) * MILLION, Basis.PUBLISHED)
        cells = (price("bigquery_storage") / GIB, price("bigquery_write") / GIB)
        dollars = (mark(size * each, _CENTS) for each in cells)
        rows.append(
            (f"{dimension:,}", mark(size, format_bytes), *dollars, mark(size / TIB * price("bigquery_scan"), ",.3f"))
        )
    head = ("dimension", "bytes per million rows", "storing, per month", "writing", "reading once, completely")
    return f"""## Storage and scan

**A vector costs more to write than to keep for a month.** For a million rows of `embedding_event_v1`, with vectors as
FLOAT64. [snapshot-cost.md](snapshot-cost.md) describes how much of them building a snapshot reads.

{table(head, rows)}"""


def _subjects() -> str:
    cases = (
        ("1 M, the first sync", 0, MILLION, MILLION),
        ("100 M, the first sync", 0, 100 * MILLION, 100 * MILLION),
        ("100 M, of whom 100,000 are new", 100 * MILLION, 100 * MILLION, 100_000),
        ("100 M, after a change of the key", 100 * MILLION, 100 * MILLION, 100 * MILLION),
    )
    rows = []
    for name, mapped, customers, new in cases:
        size = Known(capacity.sync_bytes(mapped, customers, new), Basis.PUBLISHED)
        rows.append((name, mark(size, format_bytes), mark(size / TIB * price("bigquery_scan"), _CENTS)))
    return f"""## Subject map

`rawless subjects sync` compares the customers of a table with the subject map in one statement, and adds the new ones
in another, however many there are. Ids of twelve characters:

{table(("customers", "bytes read", "dollars"), rows)}"""
