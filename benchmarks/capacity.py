"""What a worker carries, what events cost and what breaks first, by measures, published prices and assumptions."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.report import RESULTS
from rawless.config import read_mapping
from rawless.datasets.cost import TIB, width
from rawless.warehouse.tables import table

PRICES = Path(__file__).parent / "prices.yaml"
MILLION, GIB, GB, HOUR = 10**6, 2**30, 10**9, 3600
RATES = (100, 10_000, 1_000_000)
Kind = Literal["CPU", "T4", "L4"]
KINDS: tuple[Kind, ...] = ("CPU", "T4", "L4")
_FIGURES = read_mapping(PRICES, what="price list")


def price(name: str) -> float:
    """A published price."""
    return float(_FIGURES["prices"][name]["value"])


def limit(name: str) -> float:
    """A published limit."""
    return float(_FIGURES["limits"][name]["value"])


def assumed(name: str) -> float:
    """What was assumed."""
    return float(_FIGURES["assumed"][name]["value"])


def figures() -> dict[str, dict[str, dict[str, Any]]]:
    """Every published and assumed figure, by kind and name."""
    return _FIGURES


def measured(part: str, of: str, what: str) -> float:
    """The median of a kept result."""
    kept = json.loads((RESULTS / f"{part}.json").read_text())["figures"]
    (found,) = [each["median"] for each in kept if (each["of"], each["what"]) == (of, what)]
    return float(found)


@dataclass(frozen=True)
class Load:
    """One kind of event, encoded by one encoder."""

    encoder: str
    dimension: int
    modality: Literal["text", "picture"]

    @property
    def payload(self) -> float:
        """Bytes of a message that carries its content."""
        return assumed("picture" if self.modality == "picture" else "message")

    @property
    def row(self) -> int:
        """Bytes of its row in BigQuery."""
        return row_bytes(self.dimension)


LOADS = (Load("minilm", 384, "text"), Load("resnet50", 2048, "picture"))


@dataclass(frozen=True)
class Worker:
    """What one worker of a kind carries of a load."""

    kind: Kind
    load: Load
    ratio: float
    """The model's speed to the measured one on two cores: 1 where it was measured, else an assumption."""
    model: float
    """Events a second that the model takes."""
    host: float
    """Events a second that the cores beside a GPU prepare and write."""

    @property
    def carries(self) -> float:
        """Events a second at which it is kept."""
        return min(self.model, self.host) * assumed("busy")

    @property
    def bound(self) -> str:
        """What bounds it."""
        return "its cores" if self.host < self.model or self.kind == "CPU" else "its GPU"

    def needed(self, rate: float) -> int:
        """Workers for so many events a second."""
        return math.ceil(rate / self.carries)

    def dollars(self, rate: float) -> float:
        """For the workers, a million events at that rate."""
        hourly = self.needed(rate) * price(f"{self.kind.lower()}_worker")
        return hourly / (rate * HOUR) * MILLION


def worker(kind: Kind, load: Load) -> Worker:
    """As measured for a CPU; for a GPU by the arithmetic that it is assumed to reach, and the cores beside it."""
    if kind == "CPU":
        rate = measured("throughput", load.encoder, "ingest, messages")
        return Worker(kind, load, 1.0, rate, math.inf)
    peak = assumed(f"{kind.lower()}_flops") * assumed("reached")
    ratio = peak / (measured("runtimes", load.encoder, "OpenVINO, arithmetic") * GB)
    seconds = assumed(f"{load.modality}_seconds") + 1 / measured("sink", load.encoder, "sink")
    model = ratio * measured("throughput", load.encoder, "encoder alone")
    return Worker(kind, load, ratio, model, assumed("host_cores") / seconds)


def row_bytes(dimension: int) -> int:
    """Of one row of embedding_event_v1, as BigQuery counts."""
    return sum(width(column.name, dimension) for column in table("embedding_event_v1").columns)


def inline(size: float) -> float:
    """Dollars to carry a million payloads of that size in messages."""
    return MILLION * size * (2 * price("pubsub") / TIB + price("streaming_engine") / GB)


def claim_check(size: float, *, stored_anyway: bool = False) -> float:
    """Dollars to carry a million as objects that messages name; of objects that are there anyway, only the reading."""
    carried = inline(assumed("message")) + price("object_read")
    if stored_anyway:
        return carried
    kept = MILLION * size / GIB * price("object_storage") * assumed("kept_days") / 30
    return carried + price("object_write") + kept


def crossing(*, stored_anyway: bool = False) -> int:
    """The size in bytes from which a claim check is cheaper, to the next KiB."""
    sizes = range(1024, 2**30, 1024)
    return next(size for size in sizes if claim_check(size, stored_anyway=stored_anyway) < inline(size))


def demands(load: Load) -> dict[str, float]:
    """What one event a second asks of each limit; workers are of the kind that carries most."""
    workers = 1 / max(worker(kind, load).carries for kind in KINDS)
    return {
        "pubsub": load.payload,
        "claims": assumed("message"),
        "write": float(load.row),
        "connections": 2 * workers,  # one for embeddings and one for rejections
        "workers": workers,
    }


def reached(load: Load) -> dict[str, float]:
    """The events a second at which each limit is reached, the first to break first."""
    rates = {name: limit("pubsub" if name == "claims" else name) / each for name, each in demands(load).items()}
    return dict(sorted(rates.items(), key=lambda each: each[1]))


def gpus(load: Load, rate: float) -> int:
    """The fewest for so many events a second."""
    return min(worker(kind, load).needed(rate) for kind in KINDS if kind != "CPU")
