"""Compute throughput, cost and limits of workers from benchmark results and published prices."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from benchmarks import ceilings
from benchmarks.known import Basis, Known, least
from benchmarks.report import RESULTS
from encoders.precision import Precision, is_half
from rawless.config import read_mapping
from rawless.datasets.cost import GIB, TIB, column_bytes, row_bytes

PRICES = Path(__file__).parent / "prices.yaml"
MILLION, HOUR = 10**6, 3600
RATES = (100, 1_000, 10_000)
Kind = Literal["CPU", "T4", "L4"]
KINDS: tuple[Kind, ...] = ("CPU", "T4", "L4")
_FIGURES = read_mapping(PRICES, what="price list")


def figures() -> dict[str, dict[str, dict[str, Any]]]:
    """Return every figure that was not measured, by kind and name."""
    return _FIGURES


def basis(kind: str, figure: dict[str, Any]) -> Basis:
    """Return what a figure of a kind rests on: one that was never looked up is an assumption."""
    return Basis.PUBLISHED if kind != "assumed" and "looked_up" in figure else Basis.ASSUMED


def price(name: str) -> Known:
    """Return a price."""
    return _known("prices", name)


def limit(name: str) -> Known:
    """Return a limit."""
    return _known("limits", name)


def published(name: str) -> Known:
    """Return a figure of a GPU."""
    return _known("published", name)


def assumed(name: str) -> Known:
    """Return an assumed figure."""
    return _known("assumed", name)


def setting(name: str) -> float:
    """Return what the deployment sets, which is exact."""
    return float(_FIGURES["settings"][name]["value"])


def _known(kind: str, name: str) -> Known:
    figure = _FIGURES[kind][name]
    return Known(float(figure["value"]), basis(kind, figure))


def measured(part: str, of: str, what: str) -> Known:
    """Return the median of a stored result."""
    figures = json.loads((RESULTS / f"{part}.json").read_text())["figures"]
    (median,) = [figure["median"] for figure in figures if (figure["of"], figure["what"]) == (of, what)]
    return Known(float(median), Basis.MEASURED)


@dataclass(frozen=True)
class Load:
    """One kind of event, encoded by one encoder."""

    name: str
    encoder: str
    dimension: int
    modality: Literal["text", "image"]
    jpeg: str = ""
    """Of `benchmarks.preparing`: the JPEG that an event is; empty for texts."""
    decoder: str = "pillow"
    has_objects: bool = False
    """Whether each event is an object of its own, and its message a claim check."""

    @property
    def message(self) -> Known:
        """Bytes of a message."""
        return assumed("image") if self.modality == "image" and not self.has_objects else assumed("message")

    @property
    def content(self) -> Known:
        """Bytes of the content."""
        return MILLION * measured("preparing", self.jpeg, "size") if self.has_objects else self.message

    @property
    def row(self) -> int:
        """Bytes of a row in BigQuery."""
        return row_bytes(self.dimension)

    @property
    def decoding(self) -> Known:
        """Core seconds for reading and decoding a JPEG, or for tokenizing."""
        if self.modality == "text":
            return measured("preparing", "text", "tokenizing") / 1_000
        decoded = measured("preparing", self.jpeg, self.decoder) / 1_000
        return decoded + measured("preparing", self.jpeg, "read from a store") / 1_000 if self.has_objects else decoded

    @property
    def batch_job(self) -> Known:
        """Core seconds of a batch job for reading, parsing, batching and the row."""
        job = measured("preparing", "text", "job without a model")  # with a row of MiniLM
        row = measured("preparing", self.encoder, "row") - measured("preparing", "minilm", "row")
        return (job + row) / 1_000

    @property
    def streaming_core_seconds(self) -> Known:
        """Core seconds of a streaming worker beside the model, in bundles of one to five events."""
        served = measured("worker", f"{self._simulated}, stub of a GPU", "1,000 a second: served")
        return MEASURED_CORES / served + (self.decoding - self._simulated_decoding)

    @property
    def _simulated(self) -> str:
        return "JPEGs by claim checks" if self.has_objects else "JPEGs"

    @property
    def _simulated_decoding(self) -> Known:
        return measured("preparing", "JPEG of 640 by 480", "pillow") / 1_000


MEASURED_CORES = 2
"""Of the machine of the results."""
BATCHES = {"text": 1_024, "image": 64}
"""Items of one batch on a GPU."""
TEXTS = Load("texts", "minilm", 384, "text")
IMAGES = Load("images", "resnet50", 2048, "image", "JPEG of 640 by 480")
PHOTOGRAPHS = Load("photographs", "resnet50", 2048, "image", "12 megapixels", has_objects=True)
DRAFTS = Load(
    "photographs by `pillow_draft`", "resnet50", 2048, "image", "12 megapixels", "pillow_draft", has_objects=True
)
LOADS = (TEXTS, IMAGES, PHOTOGRAPHS, DRAFTS)


@dataclass(frozen=True)
class Machine:
    """A machine type of workers, and its accelerator."""

    kind: Kind
    name: str
    cpus: int
    memory: int
    """GiB."""

    def hourly(self, *, is_batch: bool = False) -> Known:
        """Return the dollars of an hour, with the boot disk."""
        cpu = price("vcpu_batch" if is_batch else "vcpu") * self.cpus
        disk = price("disk_ssd" if self.kind == "L4" else "disk")  # G2 machines have no standard disks
        whole = cpu + price("memory") * self.memory + disk * setting("disk")
        return whole if self.kind == "CPU" else whole + price(self.kind.lower())


MACHINES: dict[Kind, Machine] = {
    "CPU": Machine("CPU", "n2-standard-2", 2, 8),
    "T4": Machine("T4", "n1-standard-4", 4, 15),
    "L4": Machine("L4", "g2-standard-4", 4, 16),
}
LARGER = tuple(Machine("L4", f"g2-standard-{cpus}", cpus, 4 * cpus) for cpus in (4, 8, 12, 16))
"""Machines with one L4."""


@dataclass(frozen=True)
class Worker:
    """The throughput of one worker for a load."""

    machine: Machine
    load: Load
    model: Known
    """Events per second that the model processes: measured on a CPU, an assumed share of the ceiling on a GPU."""
    cores: Known | None = None
    """Events per second that the cores beside a GPU can decode and write, if they are what limits."""
    process: Known | None = None
    """Events per second that the one Python process beside a GPU can parse, batch and write."""
    ceiling: Known | None = None
    """Events per second that the model cannot exceed on a GPU, by bytes and operations."""

    @property
    def throughput(self) -> Known:
        """Events per second at the utilisation that the deployment sets."""
        return least(*self._limits.values()) * setting("busy")

    @property
    def bottleneck(self) -> str:
        """The part that limits the throughput."""
        return min(self._limits, key=lambda name: float(self._limits[name]))

    @property
    def _limits(self) -> dict[str, Known]:
        if self.machine.kind == "CPU":
            return {"its cores": self.model}
        limits = {"its GPU": self.model, "its cores": self.cores, "its Python process": self.process}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def workers_for(self, rate: float) -> Known:
        """Return the number of workers for `rate` events per second, each as fast as one alone."""
        return (rate / (self.throughput * assumed("proportional"))).up()

    def dollars(self, rate: float) -> Known:
        """Return the cost of the workers for a million events at `rate` events per second."""
        return self.workers_for(rate) * self.machine.hourly() / (rate * HOUR) * MILLION

    @property
    def lowest_dollars(self) -> Known:
        """The cost of a million events for workers that are as busy as they are meant to be."""
        return self.machine.hourly() / (self.throughput * HOUR) * MILLION


def worker(machine: Machine | Kind, load: Load, precision: Precision = "fp32", *, is_batch: bool = False) -> Worker:
    """Return a worker: a CPU as measured, a GPU by an assumed share of its ceiling, and by the cores beside it.

    Texts cost a streaming worker its Python process, of which one thread runs at a time, and little else.
    """
    machine = machine if isinstance(machine, Machine) else MACHINES[machine]
    if machine.kind == "CPU":
        return Worker(machine, load, _on_cores(machine, load, "lines" if is_batch else "messages"))
    most, _ = ceiling(machine.kind, load, precision)
    model = most * assumed("reached")
    cpus = machine.cpus * assumed("proportional")
    if is_batch:
        return Worker(machine, load, model, cpus / (load.decoding + load.batch_job), 1 / load.batch_job, most)
    process = measured("worker", "short texts, stub of a GPU", "5,000 a second: served")
    cores = None if load.modality == "text" else cpus / load.streaming_core_seconds
    return Worker(machine, load, model, cores, process, most)


def planned(load: Load) -> Worker:
    """Return the worker to plan with: Terraform's default, with an L4, or one without a GPU where that is cheaper."""
    return min((worker(kind, load) for kind in ("L4", "CPU")), key=lambda of: float(of.lowest_dollars))


def _on_cores(machine: Machine, load: Load, source: str) -> Known:
    """Events per second of a machine without a GPU: as measured, but for a JPEG of another size or decoder."""
    base = next(each for each in LOADS if each.encoder == load.encoder)
    rate = measured("throughput", load.encoder, f"ingest, {source}")
    return rate if load is base else 1 / (1 / rate + (load.decoding - base.decoding) / machine.cpus)


def precisions(kind: Kind) -> tuple[Precision, ...]:
    """Return the precisions in which a card computes faster than by emulation."""
    every: tuple[Precision, ...] = ("fp32", "tf32", "bf16", "fp16")
    return tuple(each for each in every if f"{kind.lower()}_{each}" in _FIGURES["published"])


def ceiling(kind: Kind, load: Load, precision: Precision) -> tuple[Known, str]:
    """Return the events per second that a model cannot exceed on a GPU, and what limits it: memory or arithmetic.

    The network has batch normalisation folded into the weights of its convolutions, as encoders do on CUDA.
    """
    card = kind.lower()
    bandwidth, arithmetic = published(f"{card}_bandwidth"), published(f"{card}_{precision}")
    most, limited_by = moved(load, precision).ceiling(float(bandwidth), float(arithmetic), BATCHES[load.modality])
    return Known(most, max(Basis.CEILING, bandwidth.basis, arithmetic.basis)), limited_by


def moved(load: Load, precision: Precision) -> ceilings.Count:
    """Return what the network of an encoder moves and computes for an item in a precision."""
    return ceilings.counts()[load.encoder]["fp16, folded" if is_half(precision) else "fp32, folded"]


@dataclass(frozen=True)
class Backfill:
    """A backfill of many events from one kind of source, by workers of one kind, which takes six hours at most."""

    source: str
    load: Load
    kind: Kind
    events: int
    split_bytes: float
    """Bytes of the source that a worker reads independently; 0 if the number of splits does not follow from them."""

    @property
    def hours(self) -> Known:
        """For how long the workers run, of which some have one split more than the others."""
        return (self.splits / self.workers).up() * self._hours_of_split

    @cached_property
    def workers(self) -> Known:
        """The fewest workers that end before a session of the Storage Read API does."""
        splits = self.splits / math.floor(float(limit("session") / self._hours_of_split))
        return Known(math.ceil(splits), max(splits.basis, self._hours_of_split.basis))

    @cached_property
    def _hours_of_split(self) -> Known:
        """How long a split takes of a worker, however many it reads at once."""
        throughput = worker(self.kind, self.load, is_batch=True).throughput * assumed("proportional")
        return self.events / self.splits / throughput / HOUR

    @cached_property
    def splits(self) -> Known:
        """The number of parts that workers read independently."""
        return (self.events * self.load.content / self.split_bytes).up() if self.split_bytes else limit("streams")

    @property
    def worker_dollars(self) -> Known:
        """The cost of the workers, of a batch job."""
        return self.workers * self.hours * MACHINES[self.kind].hourly(is_batch=True)

    @property
    def read_dollars(self) -> Known:
        """The cost of reading the source: requests for ranges or objects, and rows of a table."""
        if not self.split_bytes:
            rows = self.events * assumed("claim") / TIB * price("bigquery_read")
            return self.events / MILLION * price("object_read") + rows
        return self.splits / MILLION * price("object_read")

    @property
    def write_dollars(self) -> Known:
        """The cost of writing the rows."""
        return self.events * self.load.row / GIB * price("bigquery_write")

    @property
    def usage(self) -> dict[str, Known]:
        """The share of each limit that is used, in descending order."""
        rate = self.events / self.hours / HOUR
        shares = {"write": rate * self.load.row / limit("write"), "workers": self.workers / limit("workers")}
        if not self.split_bytes:
            shares["object_reads"] = rate / limit("object_reads")
        shares["egress"] = rate * self.load.content / limit("egress")
        return dict(sorted(shares.items(), key=lambda item: -float(item[1])))


def sync_bytes(mapped: int, customers: int, new: int) -> int:
    """Return the bytes that `rawless subjects sync` reads: customers of a table, of whom the map lacks some."""
    customer_id = 2 + 12  # a text of twelve characters
    key, key_id = column_bytes("subject_key", 0), column_bytes("subject_key_id", 0)
    compared = mapped * (customer_id + key_id)  # by each of the two statements
    return customers * customer_id + compared + (new * (customer_id + key) + mapped * (customer_id + key) + compared)


def engine(size: Known | float, *, at_least_once: bool = True) -> Known:
    """Return the dollars of Streaming Engine for a million messages of `size` bytes."""
    by_unit = assumed("engine_units") * price("engine_unit") / HOUR  # for 1 GiB
    return (by_unit if at_least_once else price("engine_data")) * size / GIB * MILLION


def inline(size: Known | float) -> Known:
    """Return the dollars to transfer a million payloads of `size` bytes in messages."""
    return price("pubsub") * 2 / TIB * size * MILLION + engine(size)


def claim_check(size: Known | float, *, is_stored: bool = False) -> Known:
    """Return the dollars to transfer a million payloads as objects; existing objects are only read."""
    transferred = inline(assumed("message")) + price("object_read")
    if is_stored:
        return transferred
    stored = price("object_storage") * assumed("kept_days") / 30 * size / GIB * MILLION
    return transferred + price("object_write") + stored


def transfer(load: Load) -> Known:
    """Return the dollars to bring a million events of a load to the workers; objects exist."""
    return claim_check(load.content, is_stored=True) if load.has_objects else inline(load.message)


def break_even(*, is_stored: bool = False) -> Known:
    """Return the size in bytes, rounded up to a KiB, from which a claim check is cheaper."""
    sizes = range(1024, 2**30, 1024)
    size = next(size for size in sizes if claim_check(size, is_stored=is_stored) < inline(size))
    return Known(size, max(claim_check(size, is_stored=is_stored).basis, inline(size).basis))


def demands(load: Load) -> dict[str, Known]:
    """Return how much one event per second uses of each limit, with the workers to plan with."""
    workers = 1 / (planned(load).throughput * assumed("proportional"))
    used = {
        "pubsub": load.message,
        "write": Known(load.row, Basis.PUBLISHED),  # by BigQuery's rule for sizes of columns
        "connections": 2 * workers,  # one for embeddings and one for rejections
        "workers": workers,
    }
    objects = {"object_reads": Known(1, Basis.PUBLISHED), "egress": load.content}
    return used | (objects if load.has_objects else {})


def limit_rates(load: Load) -> dict[str, Known]:
    """Return the events per second at which each limit is reached, in ascending order."""
    rates = {name: limit(name) / used for name, used in demands(load).items()}
    return dict(sorted(rates.items(), key=lambda item: float(item[1])))
