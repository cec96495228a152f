"""Compare the orchestrator over HTTP with encoder and head called in one process, for MiniLM and short texts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.figures import Figure, Side, figure, ratios
from benchmarks.heads import synthetic_task
from benchmarks.load import LoadResult, generate_load, generate_load_async
from encoders.catalogue import lookup
from encoders.encoder import Encoded, Encoder
from encoders.load import load as load_encoder
from rawless.demo.texts import texts
from rawless.heads import artefact, deployment
from rawless.heads.publish import graphs_of, manifest_of
from rawless.heads.session import HeadSession, open_head
from rawless.heads.training import train
from rawless.privacy import Raw

ENCODER = "minilm@1.0.0"
CALLERS = 16
ALONE, TOGETHER = 400, 1_600
"""Requests per round, of one caller and of all callers."""
CHANGES = 20
MANY = 10_000
"""Requests during which memory must not grow."""
REQUIRED_LATENCY, REQUIRED_BATCHING, REQUIRED_FAILURES, REQUIRED_MEMORY = "<= 3", ">= 2", "<= 0", "<= 1.05"


def measure(count: int) -> list[Figure]:
    """Added latency, throughput of many callers, failed requests during deployments, growth of memory."""
    phrases = _short_texts(TOGETHER)
    stream = {"stream": "bench", "modality": "text", "encoders": [ENCODER]}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), stream) as (url, process):
        heads = Path(folder) / "heads"
        encoder, head = load_encoder(lookup(ENCODER), "cpu"), open_head(heads / "bench" / "1")
        bodies = [json.dumps({"text": text}).encode() for text in phrases]
        local, single, concurrent = _rounds(count, url, bodies, lambda: _in_process(encoder, head, phrases[:ALONE]))
        deployments = asyncio.run(_deploy_during_load(url, bodies, heads))
        growth = _memory_growth(url, bodies, process)
    of = "MiniLM, short texts"
    speedup = ratios([result.rate for result in concurrent], [result.rate for result in single])
    added = [remote - in_process for remote, in_process in zip(_p50(single), local, strict=True)]
    return [
        figure("serving", of, "encoder and head in one process, p50", local, "ms"),
        figure("serving", of, "1 caller, p50", _p50(single), "ms"),
        figure("serving", of, "1 caller, p99", [result.percentile(99) for result in single], "ms"),
        figure("serving", of, "added by the service, p50", added, "ms", REQUIRED_LATENCY),
        figure("serving", of, "1 caller", [result.rate for result in single], "requests/s"),
        figure("serving", of, f"{CALLERS} callers", [result.rate for result in concurrent], "requests/s"),
        figure("serving", of, f"{CALLERS} callers / 1", speedup, "ratio", REQUIRED_BATCHING),
        figure("serving", of, f"{CALLERS} callers, p50", _p50(concurrent), "ms"),
        figure("serving", of, f"{CALLERS} callers, p99", [result.percentile(99) for result in concurrent], "ms"),
        figure("serving", f"{CHANGES} live changes", "failed requests", [deployments.failed], "requests",
               REQUIRED_FAILURES),
        figure("serving", f"{MANY:,} requests", "memory after / before", [growth], "ratio", REQUIRED_MEMORY),
    ]  # fmt: skip


def _short_texts(count: int) -> list[str]:
    """Texts of 3 to 9 words, like questions in a chat."""
    words = " ".join(text for kind in texts().values() for text in kind).split()
    phrases: list[str] = []
    rng, start = np.random.default_rng(0), 0
    while len(phrases) < count:
        size = int(rng.integers(3, 10))
        phrases.append(" ".join(words[start : start + size]))
        start = (start + size) % (len(words) - 20)
    return phrases


@contextmanager
def serving(folder: Path, stream: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Start a service of a head for a stream, and yield the URL of its head and its process id."""
    encoder = lookup(stream["encoders"][0])
    task = synthetic_task(2_000, 200, encoder.fingerprint, encoder.dimension)
    trained = train(task, lambda _: None)
    graph, domain = graphs_of(trained)
    for version in range(1, CHANGES + 2):
        path = folder / "heads" / "bench" / str(version)
        artefact.write(path, manifest_of(trained, version), graph, domain=domain)
    deployment.deploy(folder / "heads", "bench", 1)
    (folder / "stream.yaml").write_text(yaml.safe_dump(stream))
    file = folder / "serve.yaml"
    heads = {"bench": {"stream": "stream.yaml"}}
    file.write_text(yaml.safe_dump({"heads": heads, "head_folder": "heads", "limits": {"watch_seconds": 0.05}}))
    command = [sys.executable, "-m", "rawless", "serve", str(file), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout.readline, "}\n") if process.stdout else ()
        started = json.loads("".join(lines) + "}")
        try:
            yield f"{started['url']}/v1/heads/bench/predict", process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def _rounds(
    count: int, url: str, bodies: Sequence[bytes], in_process: Side
) -> tuple[list[float], list[LoadResult], list[LoadResult]]:
    """Run all three one after another in each round; an additional first round warms up and is not counted."""
    local: list[float] = []
    single: list[LoadResult] = []
    concurrent: list[LoadResult] = []
    for _ in range(count + 1):
        local.append(in_process())
        single.append(generate_load(url, bodies[:ALONE], 1))
        concurrent.append(generate_load(url, bodies, CALLERS))
    return local[1:], single[1:], concurrent[1:]


def _in_process(encoder: Encoder, head: HeadSession, phrases: Sequence[str]) -> float:
    """The median milliseconds for one text at a time."""
    durations = []
    for text in phrases:
        started = time.perf_counter()
        for encoded in encoder.encode([Raw(text.encode())]):
            if isinstance(encoded, Encoded):
                head.answer(embedding=encoded.vector[None])
        durations.append(time.perf_counter() - started)
    return float(np.median(durations)) * 1000


def _p50(results: Sequence[LoadResult]) -> list[float]:
    return [result.percentile(50) for result in results]


async def _deploy_during_load(url: str, bodies: Sequence[bytes], heads: Path) -> LoadResult:
    """The responses that callers receive while one version after another is deployed."""
    load = asyncio.create_task(generate_load_async(url, [*bodies, *bodies], CALLERS))
    for version in range(2, CHANGES + 2):
        await asyncio.sleep(0.2)
        await asyncio.to_thread(deployment.deploy, heads, "bench", version)
    if load.done():
        raise RuntimeError("The load ended before the last deployment: send more requests.")
    return await load


def _memory_growth(url: str, bodies: Sequence[bytes], process: int) -> float:
    """The memory after many valid and invalid requests, relative to that after the first tenth of them."""
    invalid = [b"{", b'{"text": ""}', b'{"text": "\xff"}', b'{"text": 5}']
    mixed = [bodies[n % len(bodies)] if n % 4 == 0 else invalid[n % 4] for n in range(MANY)]
    generate_load(url, mixed[: MANY // 10], CALLERS)
    before = _resident(process)
    generate_load(url, mixed, CALLERS)
    return _resident(process) / before


def _resident(process: int) -> int:
    """The resident memory of a process in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
