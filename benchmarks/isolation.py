"""Preparing content in child processes against doing it in this one, from the bytes to a batch, without the network."""

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure, figure, ratios, rounds, seconds
from benchmarks.work import messages, photographs
from encoders import weights
from encoders.batch_encoder import BatchEncoder
from encoders.catalogue import lookup
from encoders.device import pick_device
from encoders.isolation.pool import Pool, Request
from encoders.load import build
from rawless.privacy import Raw, Reason, Rejected

IMAGES = 48
TEXTS = 768
SLICES = 12
"""Of a round, in which both sides take turns: other programs on the machine then disturb both alike."""
_NO_OPTIONS = b'[[], {"formats": []}]'
Prepare = Callable[[Raw[bytes]], Any]


def measure(count: int) -> list[Figure]:
    """What a child costs, items a second by each side, their ratio, and that of the processor time that both take."""
    texts = messages(TEXTS)
    return [
        *_start(count),
        *_measure("JPEGs of 640x480", "resnet18-seeded@1.0.0", photographs(IMAGES), _isolated, count, ">= 0.97"),
        *_measure("short texts", "minilm@1.0.0", texts, _isolated_texts, count),
    ]


def _start(count: int) -> list[Figure]:
    """Milliseconds until a new child has answered, and its memory."""
    content = b"GIF89a, which is none"
    took, memory = [], []
    for _ in range(count):
        pool = Pool("encoders.child.images:read", lambda _: nullcontext())
        before = set(_children())
        took.append(1e3 * seconds(lambda: _reason(pool, content)))  # noqa: B023 - it is called at once
        (pid,) = set(_children()) - before
        memory.append(int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024)
        pool.close()
    return [
        figure("isolation", "a child", "start", took, "ms"),
        figure("isolation", "a child", "memory", memory, "MB"),
    ]


def _reason(pool: Pool, content: bytes) -> None:
    with suppress(Rejected):
        pool.prepare(Request(_NO_OPTIONS, content, 0, [1]))


def _measure(
    label: str,
    ref: str,
    contents: Sequence[bytes],
    isolated: Callable[[BatchEncoder[Any]], Prepare],
    count: int,
    bound: str = "",
) -> list[Figure]:
    encoder = build(lookup(ref), pick_device("cpu"))
    sides = {"in the process": encoder.prepare, "in children": isolated(encoder)}
    items = [Raw(content) for content in contents]
    used: dict[str, list[float]] = {name: [] for name in sides}
    with ThreadPoolExecutor(os.cpu_count()) as threads:

        def side(name: str) -> float:
            before = cpu_seconds()
            took = seconds(lambda: _batches(encoder, threads, sides[name], items))
            used[name].append(cpu_seconds() - before)
            return took

        times = rounds({name: lambda name=name: side(name) for name in sides}, count * SLICES)  # type: ignore[misc]
    of_round = {name: _sums(values) for name, values in times.items()}
    cpu = [_sums(values[1:]) for values in used.values()]
    return [
        *(figure("isolation", label, n, [len(items) * SLICES / each for each in v], "/s") for n, v in of_round.items()),
        figure("isolation", label, "in children / in the process", ratios(*of_round.values()), "ratio", bound),
        figure("isolation", label, "processor time in the process / in children", ratios(*cpu), "ratio"),
    ]


def _sums(values: Sequence[float]) -> list[float]:
    return [sum(values[start : start + SLICES]) for start in range(0, len(values), SLICES)]


def _batches(
    encoder: BatchEncoder[Any], threads: ThreadPoolExecutor, prepare: Prepare, items: Sequence[Raw[bytes]]
) -> None:
    batch = []
    for prepared in threads.map(prepare, items):
        assert not isinstance(prepared, Reason)  # noqa: S101 - all items are valid
        batch.append(prepared)
        if len(batch) == 8:
            encoder.inputs(batch)
            batch = []


def _isolated(encoder: BatchEncoder[Any]) -> Prepare:
    other = build(encoder.spec, pick_device("cpu"))
    other.isolate()
    return other.prepare


def _isolated_texts(encoder: BatchEncoder[Any]) -> Prepare:
    """Return what tokenizes texts in children, which the encoder does not do."""
    spec = encoder.spec
    pool = Pool("benchmarks.tokenizing:tokenize", lambda _: nullcontext())
    options = json.dumps([str(weights.find(spec) / "tokenizer.json"), 256]).encode()

    def prepare(item: Raw[bytes]) -> Any:
        (array,) = pool.prepare(Request(options, item.reveal(), 0, [1_000_000]))
        assert not isinstance(array, Reason)  # noqa: S101
        ids = np.frombuffer(array.tobytes(), np.int64)
        return _Tokens(ids)

    return prepare


class _Tokens:
    def __init__(self, ids: Any) -> None:
        self.ids, self.types, self.is_truncated = ids, np.zeros_like(ids), False


def cpu_seconds() -> float:
    """Return how long this process and its children have used the processor."""
    clocks = [time.clock_gettime(~pid << 3 | 2) for pid in _children()]  # the processor clock of another process
    return time.process_time() + sum(clocks)


def _children() -> list[int]:
    listed = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(pid) for tasks in listed for pid in tasks.read_text().split()]
