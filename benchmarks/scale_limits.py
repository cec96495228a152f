"""The sections of docs/scale-and-cost.md about limits: of a region, of a rate that is asked for, of a backfill."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks import capacity
from benchmarks.capacity import LOADS, MILLION, RATES, Backfill, Load, limit
from benchmarks.known import Known
from benchmarks.marked_table import Marked, mark, table
from rawless.events import line_ranges
from rawless.events.sources import parquet
from rawless.quantities import format_bytes

NAMES = {
    "pubsub": "Pub/Sub",
    "write": "Storage Write throughput",
    "connections": "Storage Write connections",
    "workers": "workers of one job",
    "object_reads": "reads of a bucket",
    "egress": "bandwidth of Cloud Storage",
}
_NONE = "none"
_BACKFILL = 100 * MILLION
_ASKED = RATES[-1]


def sections() -> Iterator[str]:
    """Yield the sections."""
    yield _limits()
    yield _quotas()
    yield _backfill()


def _limits() -> str:
    rows = []
    for load in LOADS:
        limits = capacity.limit_rates(load)
        rows.append((load.name, *(mark(limits[name]) if name in limits else _NONE for name in NAMES)))
    texts, images = (mark(capacity.limit_rates(load)["write"]) for load in (capacity.TEXTS, capacity.IMAGES))
    return f"""## Limits of a region

**BigQuery is the first limit of texts and images: {texts} and {images} events a second in a region**, as Terraform
requires one, by one encoder; two encoders, as in a migration, write twice the rows. The quota of GPUs comes before
that: a new project has next to none. The events a second at which each limit is reached, by L4 workers, of photographs
by CPU workers, which are cheaper, and with Pub/Sub in a large region:

{table(("events", *NAMES.values()), rows)}

All but the workers of one job can be raised; a bucket serves more reads than at first after some minutes of them. The
page of quotas says {mark(limit("workers"))} workers of one job, the API's description of a launch 1,000, and Terraform
accepts no more than that. To exceed what one job can have, divide a stream, or use a subscription and a job for each
region. BigQuery's older
streaming inserts, which have a separate quota, are not used."""


@dataclass(frozen=True)
class _Quota:
    """A quota of the project, and what a load needs of it."""

    title: str
    needed: Callable[[Load], Known | None]
    default: Known | None = None
    """None if a new project has next to nothing of it, or what its history earned."""
    is_rate: bool = False
    """Whether it is one of bytes a second."""

    def cells(self) -> Iterator[str]:
        """Yield the default, and what each load needs."""
        yield "of the project" if self.default is None else self._shown(self.default)
        for load in LOADS:
            needed = self.needed(load)
            if needed is None:
                yield _NONE
            elif self.default is not None and needed < self.default:
                yield self._shown(needed)
            else:
                yield Marked(f"**raise: {self._shown(needed)}**")

    def _shown(self, quantity: Known) -> Marked:
        return Marked(mark(quantity, lambda value: f"{format_bytes(value)}/s")) if self.is_rate else mark(quantity)


def _workers(load: Load) -> Known:
    return capacity.planned(load).workers_for(_ASKED)


def _gpus(load: Load) -> Known | None:
    return None if capacity.planned(load).machine.kind == "CPU" else _workers(load)


def _cpus(load: Load) -> Known:
    return _workers(load) * capacity.planned(load).machine.cpus


def _quota_list() -> Iterator[_Quota]:
    yield _Quota("`NVIDIA_L4_GPUS` of the region, and `GPUS_ALL_REGIONS`", _gpus)
    yield _Quota("`CPUS` of the region, or `N2_CPUS` for n2 machines", _cpus)
    yield _Quota(
        "`SSD_TOTAL_GB` of the region, or `DISKS_TOTAL_GB` for standard disks",
        lambda load: _workers(load) * capacity.setting("disk"),
    )
    connections = limit("connections")
    yield _Quota("Storage Write API: concurrent connections of a region", lambda load: 2 * _workers(load), connections)
    yield _Quota(
        "Storage Write API: `write/append_bytes_region`",
        lambda load: _per_second(load, "write"),
        limit("write"),
        is_rate=True,
    )
    for size, name in (("large", "pubsub"), ("medium", "pubsub_medium"), ("small", "pubsub_small")):
        title = f"Pub/Sub: `regionalpublisher` and the subscribers', in a {size} region"
        yield _Quota(title, lambda load: _per_second(load, "pubsub"), limit(name), is_rate=True)
    title = "Cloud Storage: `google_egress_bandwidth` of the region"
    yield _Quota(title, lambda load: _per_second(load, "egress"), limit("egress"), is_rate=True)


def _per_second(load: Load, name: str) -> Known | None:
    """Return what a load needs of a limit at the rate that is asked for, if it needs it."""
    used = capacity.demands(load).get(name)
    return None if used is None else used * _ASKED


def _quotas() -> str:
    rows = [(quota.title, *quota.cells()) for quota in _quota_list()]
    head = ("quota", "default", *(load.name for load in LOADS))
    return f"""## What to raise for {_ASKED:,} events a second

**Ask for GPUs and vCPUs first.** `rawless doctor --warehouse FILE` names what a project lacks of both. For one stream
with one encoder:

- Texts need GPUs, vCPUs and disks, all quotas of Compute Engine, and nothing else.
- Images in messages also need Pub/Sub's throughput, unless the region is
  [large](https://cloud.google.com/pubsub/quotas); claim checks do not.
- Photographs also need the bandwidth of Cloud Storage, and connections to BigQuery, of which machines with more vCPUs
  need fewer. They need no GPU: `{capacity.MACHINES["CPU"].name}` is cheaper than `{capacity.MACHINES["L4"].name}`. For
  more than 1,000 workers, the most that Terraform accepts for a job, take more vCPUs each, or divide the stream.
- While a job is replaced by a second one beside it, both run: ask for twice the first four.

Texts and images by L4 workers, photographs by CPU workers. Cells say *raise* where the default does not suffice:

{table(head, rows)}

A bucket starts with {mark(limit("object_reads"))} reads a second and serves more after some minutes of load: start
photographs slowly, or spread them over several buckets. The subnetwork of Terraform, a /20, has
4,092 addresses, for all jobs and services together."""


def backfills() -> Iterator[Backfill]:
    """Yield backfills of texts, images and photographs, from the sources that are usual for them."""
    for kind in ("CPU", "L4"):
        yield Backfill("jsonl:, texts", capacity.TEXTS, kind, _BACKFILL, line_ranges.RANGE)
        yield Backfill("parquet:, texts", capacity.TEXTS, kind, _BACKFILL, parquet.SHARD_BYTES)
        yield Backfill("parquet:, images", capacity.IMAGES, kind, _BACKFILL, parquet.SHARD_BYTES)
        yield Backfill("bigquery:, uri of photographs", capacity.PHOTOGRAPHS, kind, _BACKFILL, 0)
        yield Backfill("the same by `pillow_draft`", capacity.DRAFTS, kind, _BACKFILL, 0)


def _backfill() -> str:
    rows = []
    for each in backfills():
        name, used = next(iter(each.usage.items()))
        counts = (mark(each.splits), mark(each.workers), mark(each.hours, ",.1f"))
        dollars = (mark(part, ",.2f") for part in (each.worker_dollars, each.read_dollars, each.write_dollars))
        rows.append((each.source, each.kind, *counts, *dollars, Marked(f"{NAMES[name]}, used to {mark(used, '.0%')}")))
    dollars_of = (f"dollars for {part}" for part in ("workers", "reading", "rows"))
    head = ("source", "worker", "splits", "workers", "hours", *dollars_of, "nearest limit")
    return f"""## A backfill of 100 million events

**The price is that of the worker hours, on few workers as on many.** The number of workers is the smallest that ends
within {limit("session").value:.0f} hours, when BigQuery ends the session of a table; some workers have one split more
than the others. Half as many take twice as long for the same price, where the source is no table. Workers are those of
a batch job, with Dataflow's lower price of vCPUs.

{table(head, rows, labels=2)}

Splits are the parts of a source that workers read independently: ranges of {format_bytes(line_ranges.RANGE)} of JSON
lines, ranges of {format_bytes(parquet.SHARD_BYTES)} of Parquet, if its row groups are that small, and the streams of a
table. The quota of GPUs comes before each limit. A bucket serves more reads than its limit after some minutes of them;
a use above 100% of another limit needs a higher quota or more hours. Reading from another region than the bucket's
costs extra.

A listing has a request for each 1,000 files, and each worker process keeps it in memory: a million files are a few
hundred megabytes. `python -m benchmarks backfill` measures that a job of 2,000 files is linear and flat."""
