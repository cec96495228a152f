"""What the pipeline costs over its encoder: `make bench`.

Each round times both sides one after the other on the same texts, so that a slow moment of the machine hits both.
"""

import json
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from encoders.catalogue import lookup
from encoders.encoder import Encoder
from encoders.load import load
from events.sources import open_source
from events.stream import Stream
from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import run
from privacy import Raw
from rawless import home, local_stack
from rawless.demo import texts
from rawless.output import print_table, say
from rawless.places import LOCAL, key_source
from sql.warehouse import Warehouse

EVENTS = 2_000
ROUNDS = 5
RESULT = Path(__file__).parent / "results" / "ingest_texts.json"


def main() -> None:
    """Measure, print, and keep the result with the machine named."""
    encoder = load(lookup("minilm@1.0.0"), "cpu")
    found = [text for kind in texts().values() for text in kind]
    payloads = [f"{found[number % len(found)]} ({number})" for number in range(EVENTS)]
    with tempfile.TemporaryDirectory() as folder:
        job = _job(Path(folder), payloads)
        rounds = [(_bare(encoder, payloads), _ingest(job)) for _ in range(ROUNDS + 1)][1:]  # the first warms up
    _tell(rounds)


def _job(folder: Path, payloads: list[str]) -> Ingest:
    """An ingest job over the texts, into datasets of its own on the local stack."""
    names = {role: f"bench_{role}" for role in ("events", "snapshots", "subjects", "audit")}
    stack = local_stack.up(home.folder())
    warehouse = Warehouse(LOCAL.model_copy(update=names), stack.bigquery)
    warehouse.ensure()
    source = folder / "texts.jsonl"
    occurred_at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    with source.open("w") as file:
        for number, text in enumerate(payloads):
            event = {"event_id": f"e-{number}", "occurred_at": occurred_at, "stream": "bench", "text": text}
            file.write(json.dumps(event | {"subject_id": f"c-{number % 100}"}) + "\n")
    stream = Stream(stream="bench", modality="text", encoders=("minilm@1.0.0",))
    opened = open_source(f"jsonl:{source}", stream)
    return Ingest(stream, opened, (lookup("minilm@1.0.0"),), key_source(warehouse), warehouse, "cpu")


def _bare(encoder: Encoder, payloads: list[str]) -> float:
    """Seconds for the encoder alone, in calls of as many texts as ingest makes."""
    started = time.monotonic()
    for start in range(0, len(payloads), 512):
        encoder.encode([Raw(text.encode()) for text in payloads[start : start + 512]])
    return time.monotonic() - started


def _ingest(job: Ingest) -> float:
    """Seconds for the whole job: reading, parsing, encoding, rows in the local BigQuery."""
    started = time.monotonic()
    summary = run(job, options.parse([]), started)
    if summary["embeddings"] != EVENTS:
        raise SystemExit(f"The bench is void: {summary['embeddings']} of {EVENTS} events were embedded.")
    return time.monotonic() - started


def _tell(rounds: list[tuple[float, float]]) -> None:
    def row(what: str, figures: list[float], unit: str) -> dict[str, Any]:
        figures = sorted(figures)
        return {
            "what": what,
            "median": round(statistics.median(figures), 2),
            "lowest": round(figures[0], 2),
            "highest": round(figures[-1], 2),
            "unit": unit,
        }

    rows = [
        row("encoder alone", [EVENTS / bare for bare, _ in rounds], "texts/s"),
        row("ingest, whole job", [EVENTS / whole for _, whole in rounds], "texts/s"),
        row("ingest / encoder alone", [bare / whole for bare, whole in rounds], "ratio"),
    ]
    machine = f"{platform.machine()}, {platform.processor() or platform.system()}, Python {platform.python_version()}"
    print_table(rows, f"{EVENTS:,} texts, minilm@1.0.0 on the CPU, {ROUNDS} rounds ({machine})")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"machine": machine, "events": EVENTS, "rounds": ROUNDS, "figures": rows}, indent=2))
    say(f"Kept in {RESULT.relative_to(Path.cwd()) if RESULT.is_relative_to(Path.cwd()) else RESULT.name}.")


if __name__ == "__main__":
    main()
