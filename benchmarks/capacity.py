"""Compute throughput, cost and limits of workers from benchmark results and published prices."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import ceilings
from benchmarks.report import RESULTS
from rawless.config import read_mapping
from rawless.datasets.cost import TIB, column_bytes, row_bytes

PRICES = Path(__file__).parent / "prices.yaml"
MILLION, GIB, GB, HOUR = 10**6, 2**30, 10**9, 3600
RATES = (100, 10_000, 1_000_000)
Kind = Literal["CPU", "T4", "L4"]
KINDS: tuple[Kind, ...] = ("CPU", "T4", "L4")
_FIGURES = read_mapping(PRICES, what="price list")


def price(name: str) -> float:
    """Return a published price."""
    return float(_FIGURES["prices"][name]["value"])


def limit(name: str) -> float:
    """Return a published limit."""
    return float(_FIGURES["limits"][name]["value"])


def assumed(name: str) -> float:
    """Return an assumed figure."""
    return float(_FIGURES["assumed"][name]["value"])


def published(name: str) -> float:
    """Return a published figure of a GPU."""
    return float(_FIGURES["published"][name]["value"])


def figures() -> dict[str, dict[str, dict[str, Any]]]:
    """Return every published and assumed figure, by kind and name."""
    return _FIGURES


def measured(part: str, of: str, what: str) -> float:
    """Return the median of a stored result."""
    figures = json.loads((RESULTS / f"{part}.json").read_text())["figures"]
    (median,) = [figure["median"] for figure in figures if (figure["of"], figure["what"]) == (of, what)]
    return float(median)


@dataclass(frozen=True)
class Load:
    """One kind of event, encoded by one encoder."""

    encoder: str
    dimension: int
    modality: Literal["text", "image"]

    @property
    def payload(self) -> float:
        """Bytes of a message with inline content."""
        return assumed("image" if self.modality == "image" else "message")

    @property
    def row(self) -> int:
        """Bytes of a row in BigQuery."""
        return row_bytes(self.dimension)


BATCHES = {"text": 1_024, "image": 64}
"""Items of one batch on a GPU."""
LOADS = (Load("minilm", 384, "text"), Load("resnet50", 2048, "image"))


@dataclass(frozen=True)
class Worker:
    """The throughput of one worker for a load."""

    kind: Kind
    load: Load
    ceiling: float
    """Events per second that the model cannot exceed on a GPU, by bytes and operations; not finite for a CPU."""
    model: float
    """Events per second that the model processes: measured on a CPU, an assumed share of the ceiling on a GPU."""
    host: float
    """Events per second that the cores beside a GPU can prepare and write."""

    @property
    def throughput(self) -> float:
        """Events per second at the assumed utilisation."""
        return min(self.model, self.host) * assumed("busy")

    @property
    def bottleneck(self) -> str:
        """The part that limits the throughput."""
        return "its cores" if self.host < self.model or self.kind == "CPU" else "its GPU"

    def workers_for(self, rate: float) -> int:
        """Return the number of workers for `rate` events per second."""
        return math.ceil(rate / self.throughput)

    def dollars(self, rate: float) -> float:
        """Return the cost of the workers for a million events at `rate` events per second."""
        hourly = self.workers_for(rate) * price(f"{self.kind.lower()}_worker")
        return hourly / (rate * HOUR) * MILLION


def worker(kind: Kind, load: Load) -> Worker:
    """Return a worker: a CPU as measured, a GPU by an assumed share of its ceiling, and by the cores beside it."""
    if kind == "CPU":
        rate = measured("throughput", load.encoder, "ingest, messages")
        return Worker(kind, load, math.inf, rate, math.inf)
    most, _ = ceiling(kind, load, "fp32")
    seconds = assumed(f"{load.modality}_seconds") + 1 / measured("sink", load.encoder, "sink")
    return Worker(kind, load, most, most * assumed("reached"), assumed("host_cores") / seconds)


def ceiling(kind: Kind, load: Load, variant: str) -> tuple[float, str]:
    """Return the events per second that a model cannot exceed on a GPU, and what limits it: memory or arithmetic."""
    card, precision = kind.lower(), variant.partition(",")[0]
    bandwidth, arithmetic = published(f"{card}_bandwidth"), published(f"{card}_{precision}")
    return ceilings.counts()[load.encoder][variant].ceiling(bandwidth, arithmetic, BATCHES[load.modality])


@dataclass(frozen=True)
class Backfill:
    """A backfill of many events from one kind of source, by workers of one kind, which takes six hours at most."""

    source: str
    load: Load
    kind: Kind
    events: int
    split_bytes: float
    """Bytes of the source that a worker reads independently; 0 if the number of splits does not follow from them."""
    has_objects: bool
    """Whether each event is an object of its own."""

    @property
    def hours(self) -> float:
        """For how long the workers run, of which some have one split more than the others."""
        return math.ceil(self.splits / self.workers) * self._hours_of_split

    @property
    def workers(self) -> int:
        """The fewest workers that end before a session of the Storage Read API does."""
        return math.ceil(self.splits / math.floor(limit("session") / self._hours_of_split))

    @property
    def _hours_of_split(self) -> float:
        """How long a split takes of a worker, however many it reads at once."""
        return self.events / self.splits / worker(self.kind, self.load).throughput / HOUR

    @property
    def splits(self) -> int:
        """The number of parts that workers read independently."""
        if not self.split_bytes:
            return int(limit("streams"))
        return math.ceil(self.events * self.load.payload / self.split_bytes)

    @property
    def worker_dollars(self) -> float:
        """The cost of the workers."""
        return self.workers * self.hours * price(f"{self.kind.lower()}_worker")

    @property
    def read_dollars(self) -> float:
        """The cost of reading the source: requests for ranges or objects, and rows of a table."""
        requests = self.events if self.has_objects else self.splits
        table = 0 if self.split_bytes else self.events * assumed("claim") / TIB * price("bigquery_read")
        return requests / MILLION * price("object_read") + table

    @property
    def write_dollars(self) -> float:
        """The cost of writing the rows."""
        return self.events * self.load.row / GIB * price("bigquery_write")

    @property
    def usage(self) -> dict[str, float]:
        """The share of each limit that is used, in descending order."""
        rate = self.events / self.hours / HOUR
        shares = {
            "object_reads": rate * self.has_objects / limit("object_reads"),
            "write": rate * self.load.row / limit("write"),
            "workers": self.workers / limit("workers"),
        }
        return dict(sorted(shares.items(), key=lambda item: -item[1]))


def sync_bytes(mapped: int, customers: int, new: int) -> int:
    """Return the bytes that `rawless subjects sync` reads: customers of a table, of whom the map lacks some."""
    customer_id = 2 + 12  # a text of twelve characters
    key, key_id = column_bytes("subject_key", 0), column_bytes("subject_key_id", 0)
    compared = mapped * (customer_id + key_id)  # by each of the two statements
    return customers * customer_id + compared + (new * (customer_id + key) + mapped * (customer_id + key) + compared)


def inline(size: float) -> float:
    """Return the dollars to transfer a million payloads of `size` bytes in messages."""
    return MILLION * size * (2 * price("pubsub") / TIB + price("streaming_engine") / GB)


def claim_check(size: float, *, is_stored: bool = False) -> float:
    """Return the dollars to transfer a million payloads as objects; existing objects are only read."""
    transferred = inline(assumed("message")) + price("object_read")
    if is_stored:
        return transferred
    stored = MILLION * size / GIB * price("object_storage") * assumed("kept_days") / 30
    return transferred + price("object_write") + stored


def break_even(*, is_stored: bool = False) -> int:
    """Return the size in bytes, rounded up to a KiB, from which a claim check is cheaper."""
    sizes = range(1024, 2**30, 1024)
    return next(size for size in sizes if claim_check(size, is_stored=is_stored) < inline(size))


def demands(load: Load) -> dict[str, float]:
    """Return how much one event per second uses of each limit, with the workers that have the highest throughput."""
    workers = 1 / max(worker(kind, load).throughput for kind in KINDS)
    return {
        "pubsub": load.payload,
        "claims": assumed("message"),
        "write": float(load.row),
        "connections": 2 * workers,  # one for embeddings and one for rejections
        "workers": workers,
    }


def limit_rates(load: Load) -> dict[str, float]:
    """Return the events per second at which each limit is reached, in ascending order."""
    rates = {name: limit("pubsub" if name == "claims" else name) / used for name, used in demands(load).items()}
    return dict(sorted(rates.items(), key=lambda item: item[1]))


def gpus(load: Load, rate: float) -> int:
    """Return the smallest number of GPUs for `rate` events per second."""
    return min(worker(kind, load).workers_for(rate) for kind in KINDS if kind != "CPU")
