"""The sections of docs/scale-and-cost.md about the throughput of one worker."""

from collections.abc import Iterator

from benchmarks import capacity, ceilings
from benchmarks.capacity import (
    DRAFTS,
    IMAGES,
    KINDS,
    LARGER,
    LOADS,
    PHOTOGRAPHS,
    RATES,
    TEXTS,
    Kind,
    Load,
    Machine,
    Worker,
    assumed,
    worker,
)
from benchmarks.known import Basis, Known
from benchmarks.marked_table import Marked, both, mark, rate, table
from encoders.precision import Precision
from rawless.quantities import format_bytes

_CARDS: tuple[Kind, ...] = ("T4", "L4")
_NONE = "none"
_ENCODERS = (TEXTS, IMAGES)
_COMPARED: tuple[Precision, ...] = ("fp32", "fp16")


def sections() -> Iterator[str]:
    """Yield the sections."""
    yield _one_worker()
    yield _photographs()
    yield _ceilings()
    yield _precision()
    yield _rates()


def _one_worker() -> str:
    rows = []
    for load in LOADS:
        for kind in KINDS:
            of = worker(kind, load)
            most = (_maybe(each) for each in (of.ceiling, of.model, of.cores, of.process))
            rows.append((load.name, load.encoder, kind, *most, mark(of.throughput, rate), of.bottleneck))
    limits = ", ".join(f"{worker('L4', load).bottleneck} for {load.name}" for load in LOADS[:3])
    columns = ("ceiling", "model", "cores", "process", "used at")
    head = ("events", "encoder", "worker", *(f"{column}, events/s" for column in columns), "limited by")
    machines = ", ".join(f"{kind}: `{machine.name}`" for kind, machine in capacity.MACHINES.items())
    return f"""## Throughput of one worker

**An L4 worker is limited by {limits}; a faster card helps only where the GPU is the limit.**
On a CPU, the model and decoding share the cores, and their throughput is that of whole jobs. A GPU is
assumed to reach {assumed("reached").value:.0%} of its [ceiling](#ceilings-of-a-gpu) in fp32. What the cores and the
process do beside it was measured with [a stub of a GPU](../benchmarks/results/worker.md) on two cores; the cores are
assumed to be proportional to the vCPUs, and photographs add their [decoding](../benchmarks/results/preparing.md).
Workers are used to {capacity.setting("busy"):.0%}, as `utilization_hint` says. Machines:
{machines}.

{table(head, rows, labels=3)}"""


def _maybe(quantity: Known | None) -> str:
    return _NONE if quantity is None else mark(quantity, rate)


def _photographs() -> str:
    rows = []
    for load in (PHOTOGRAPHS, DRAFTS):
        for machine in (capacity.MACHINES["CPU"], *LARGER):
            of = worker(machine, load)
            rows.append(
                (f"`{load.decoder}`", f"`{machine.name}`", mark(of.throughput, rate), mark(of.lowest_dollars, ",.2f"))
            )
    decoded = [mark(1_000 * load.decoding, rate) for load in (IMAGES, PHOTOGRAPHS, DRAFTS)]
    head = ("decoder", "machine", "events/s", "dollars per million events")
    return f"""## Photographs of 12 megapixels

**A photograph costs its decoding.** A JPEG of 640 by 480 takes {decoded[0]} ms of a core; one of 12 megapixels and
{format_bytes(float(PHOTOGRAPHS.content))}, which is read from a bucket, takes {decoded[1]} ms, or {decoded[2]} ms by
`decoder: pillow_draft`, which is another encoder ([images.md](images.md#the-decoder-of-jpegs)). Larger machines with
one L4 decode in proportion to their vCPUs. `nvjpeg` decodes on the GPU; it was not measured on a T4 or an L4.

{table(head, rows, labels=2)}"""


def _ceilings() -> str:
    rows = []
    for load in _ENCODERS:
        for precision in capacity.precisions("L4"):
            count = capacity.moved(load, precision)
            size = Known(count.activations + count.weights / capacity.BATCHES[load.modality], Basis.MEASURED)
            operations = Known(count.operations / 1e9, Basis.MEASURED)
            cells = (_ceiling(kind, load, precision) for kind in _CARDS)
            rows.append((load.encoder, precision, mark(size, format_bytes), mark(operations, ",.2f"), *cells))
    head = ("encoder", "precision", "moved per event", "10^9 operations per event", *_CARDS)
    return f"""## Ceilings of a GPU

**The events a second that a model cannot exceed on a card; no measurement.** `python -m benchmarks.ceilings` counts the
bytes that its operations read and write and the operations of its matrix products. The card's published bandwidth and
peak are divided by them; the smaller quotient is the ceiling. It is that of operations that are not fused with one
another, with batch normalisation folded into the convolutions. Images of 224 pixels in batches of
{capacity.BATCHES["image"]}, texts of {ceilings.TOKENS} tokens in batches of {capacity.BATCHES["text"]:,}. A T4 has no
tensor cores for tf32 and bf16.

{table(head, rows, labels=2)}"""


def _ceiling(kind: Kind, load: Load, precision: Precision) -> str:
    if precision not in capacity.precisions(kind):
        return _NONE
    most, limit = capacity.ceiling(kind, load, precision)
    return Marked(f"{mark(most)}, by {limit}")


def _precision() -> str:
    rows, (small, large) = [], LARGER[:2]
    for load in _ENCODERS:
        for precision in _COMPARED:
            for machine in (small, large):
                of = worker(machine, load, precision)
                costs = mark(of.lowest_dollars, ",.2f")
                row = (load.name, precision, f"`{machine.name}`", mark(of.model), mark(of.throughput), of.bottleneck)
                rows.append((*row, costs))
    head = (
        "events",
        "precision",
        "machine",
        "model, events/s",
        "used at, events/s",
        "limited by",
        "dollars per million",
    )
    return f"""## Precision

**fp16 saves {_saved(IMAGES, small)} of the price of images, {_saved(IMAGES, large)} with twice the vCPUs, and
{_saved(TEXTS, small)} of that of texts.**
A precision is part of an encoder, and changes its vectors
([decision 24](decisions/0024-the-precision-of-an-encoder.md)).
tf32 is as fast as fp32, and bf16 as fp16, since memory limits both. With one L4:

{table(head, rows, labels=3)}"""


def _saved(load: Load, machine: Machine) -> Marked:
    """What fp16 on a machine saves of the price of a million events in fp32 on the smallest one."""
    half, full = worker(machine, load, "fp16").lowest_dollars, worker(LARGER[0], load).lowest_dollars
    return mark((full - half) / full, ".0%")


def _rates() -> str:
    rows = [(load.name, kind, *(_cell(worker(kind, load), rate) for rate in RATES)) for load in LOADS for kind in KINDS]
    head = ("events", "worker", *(f"{rate:,} events/s" for rate in RATES))
    return f"""## Workers, and dollars per million events

**Take the cheapest worker of the rate, not the fastest.** Each cell contains the number of workers · the dollars per
million events for the workers alone. A worker is paid for whether it is busy or not.

{table(head, rows, labels=2)}"""


def _cell(of: Worker, rate: float) -> Marked:
    return both(mark(of.workers_for(rate)), mark(of.dollars(rate), ",.2f"))
