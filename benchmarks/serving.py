"""The orchestrator over real HTTP, beside the encoder and the head called in one process: MiniLM, short texts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

from benchmarks.figures import Figure, Side, figure, ratios
from benchmarks.heads import made_up
from benchmarks.load import Seen, load, loaded
from encoders.catalogue import lookup
from encoders.encoder import Encoded, Encoder
from encoders.load import load as load_encoder
from rawless.demo.texts import texts
from rawless.heads import artefact, deployment
from rawless.heads.onnx_graph import to_onnx
from rawless.heads.publish import manifest_of
from rawless.heads.session import HeadSession, open_head
from rawless.heads.training import train
from rawless.privacy import Raw

ENCODER = "minilm@1.0.0"
CALLERS = 16
ALONE, TOGETHER = 400, 1_600
"""Requests of a round, of one caller and of all."""
CHANGES = 20
MANY = 10_000
"""Requests, over which memory may not grow."""
MUST_ADD, MUST_BATCH, MUST_LOSE, MUST_STAY = "<= 3", ">= 2", "<= 0", "<= 1.05"


def measure(count: int) -> list[Figure]:
    """Latency beside one process, throughput of many callers, lost requests through live changes, memory."""
    spoken = _short(TOGETHER)
    with tempfile.TemporaryDirectory() as folder, _service(Path(folder)) as (url, process):
        heads = Path(folder) / "heads"
        encoder, head = load_encoder(lookup(ENCODER), "cpu"), open_head(heads / "bench" / "1")
        bodies = [json.dumps({"text": each}).encode() for each in spoken]
        here, one, many = _rounds(count, url, bodies, lambda: _in_process(encoder, head, spoken[:ALONE]))
        changed = asyncio.run(_changing(url, bodies, heads))
        grown = _grown(url, bodies, process)
    of = "MiniLM, short texts"
    added = [mine - theirs for mine, theirs in zip(_p50(one), here, strict=True)]
    return [
        figure("serving", of, "encoder and head in one process, p50", here, "ms"),
        figure("serving", of, "1 caller, p50", _p50(one), "ms"),
        figure("serving", of, "1 caller, p99", [each.percentile(99) for each in one], "ms"),
        figure("serving", of, "added by the service, p50", added, "ms", MUST_ADD),
        figure("serving", of, "1 caller", [each.rate for each in one], "requests/s"),
        figure("serving", of, f"{CALLERS} callers", [each.rate for each in many], "requests/s"),
        figure("serving", of, f"{CALLERS} callers / 1", ratios([e.rate for e in many], [e.rate for e in one]), "ratio",
               MUST_BATCH),
        figure("serving", of, f"{CALLERS} callers, p50", _p50(many), "ms"),
        figure("serving", of, f"{CALLERS} callers, p99", [each.percentile(99) for each in many], "ms"),
        figure("serving", f"{CHANGES} live changes", "failed requests", [changed.failed], "requests", MUST_LOSE),
        figure("serving", f"{MANY:,} requests", "memory after / before", [grown], "ratio", MUST_STAY),
    ]  # fmt: skip


def _short(count: int) -> list[str]:
    """Texts of 3 to 9 words, as questions in a chat have."""
    words = " ".join(text for kind in texts().values() for text in kind).split()
    found: list[str] = []
    chance, at = np.random.default_rng(0), 0
    while len(found) < count:
        size = int(chance.integers(3, 10))
        found.append(" ".join(words[at : at + size]))
        at = (at + size) % (len(words) - 20)
    return found


@contextmanager
def _service(folder: Path) -> Iterator[tuple[str, int]]:
    """The address of its head, and its process."""
    trained = train(made_up(2_000, 200, lookup(ENCODER).fingerprint), lambda _: None)
    graph = to_onnx(trained.head, trained.task.dimension).SerializeToString(deterministic=True)
    for version in range(1, CHANGES + 2):
        artefact.write(folder / "heads" / "bench" / str(version), manifest_of(trained, version), graph)
    deployment.deploy(folder / "heads", "bench", 1)
    (folder / "stream.yaml").write_text(yaml.safe_dump({"stream": "bench", "modality": "text", "encoders": [ENCODER]}))
    file = folder / "serve.yaml"
    heads = {"bench": {"stream": "stream.yaml"}}
    file.write_text(yaml.safe_dump({"heads": heads, "head_folder": "heads", "limits": {"watch_seconds": 0.05}}))
    command = [sys.executable, "-m", "rawless", "serve", str(file), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout.readline, "}\n") if process.stdout else ()
        told = json.loads("".join(lines) + "}")
        try:
            yield f"{told['url']}/v1/heads/bench/predict", process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def _rounds(
    count: int, url: str, bodies: Sequence[bytes], in_process: Side
) -> tuple[list[float], list[Seen], list[Seen]]:
    """All three one after the other in each round; one round more is run before, which warms up."""
    here: list[float] = []
    one: list[Seen] = []
    many: list[Seen] = []
    for _ in range(count + 1):
        here.append(in_process())
        one.append(load(url, bodies[:ALONE], 1))
        many.append(load(url, bodies, CALLERS))
    return here[1:], one[1:], many[1:]


def _in_process(encoder: Encoder, head: HeadSession, spoken: Sequence[str]) -> float:
    """The median of milliseconds for one text after the other."""
    taken = []
    for text in spoken:
        started = time.perf_counter()
        for encoded in encoder.encode([Raw(text.encode())]):
            if isinstance(encoded, Encoded):
                head.answer(embedding=encoded.vector[None])
        taken.append(time.perf_counter() - started)
    return float(np.median(taken)) * 1000


def _p50(seen: Sequence[Seen]) -> list[float]:
    return [each.percentile(50) for each in seen]


async def _changing(url: str, bodies: Sequence[bytes], heads: Path) -> Seen:
    """What callers see while one version after the other is deployed."""
    asking = asyncio.create_task(loaded(url, [*bodies, *bodies], CALLERS))
    for version in range(2, CHANGES + 2):
        await asyncio.sleep(0.2)
        await asyncio.to_thread(deployment.deploy, heads, "bench", version)
    if asking.done():
        raise RuntimeError("The callers ended before the changes did: give them more to ask.")
    return await asking


def _grown(url: str, bodies: Sequence[bytes], process: int) -> float:
    """Memory after many requests, good ones and broken ones, over that after the first thousand."""
    broken = [b"{", b'{"text": ""}', b'{"text": "\xff"}', b'{"text": 5}']
    mixed = [bodies[n % len(bodies)] if n % 4 == 0 else broken[n % 4] for n in range(MANY)]
    load(url, mixed[: MANY // 10], CALLERS)
    before = _resident(process)
    load(url, mixed, CALLERS)
    return _resident(process) / before


def _resident(process: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
