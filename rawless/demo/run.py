"""Run the demo: publish, ingest, build datasets, train heads, and search everything that is left for raw content."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from rawless.audit.search import Search
from rawless.audit.spellings import spelled
from rawless.connect import open_key_source, open_warehouse
from rawless.demo import datasets, digits, heads, neighbours, service, streaming, texts, today
from rawless.files import owner_only
from rawless.local import home
from rawless.warehouse.client import Warehouse

_COUNT = """
SELECT COUNT(DISTINCT event_id) AS events FROM embedding_event_v1
WHERE occurred_at >= TIMESTAMP '1970-01-01' AND logged_at >= TIMESTAMP '{since}' AND stream = '{stream}'
"""
Progress = Callable[[str], AbstractContextManager[None]]
"""Returns a context that shows a title while its block runs."""


@owner_only()
def run_demo(folder: Path, progress: Progress) -> dict[str, Any]:
    """Run the demo on the local stack and return its report.

    Raw content is written to `folder` only. The dataset files, heads, reports and service file stay in the home folder.
    """
    started = time.monotonic()
    with progress("Starting the local BigQuery and Pub/Sub"):
        warehouse = open_warehouse(None)
    (images, classes), kinds = digits.digits(), texts.texts()
    producers = _producers(folder)
    contents = digits.write_uploads(folder, images, today()) + texts.write_events(
        folder / "messages.jsonl", kinds, today()
    )
    temporary = _use_temporary_folder(folder)
    with progress("Loading the encoders"):
        since = datetime.now(UTC)
        runs = [streaming.prepare_run(name, producer) for name, producer in producers.items()]
    streaming.run_all(runs)
    report = _streaming_report(warehouse, runs, since) | {
        "same_digit": neighbours.same_digit(warehouse, classes),
        "neighbours": neighbours.text_neighbours(warehouse),
        "seconds": round(time.monotonic() - started, 1),
    }
    with progress("Building a dataset"):
        key = open_key_source(warehouse).load()
        report["dataset"] = datasets.build_snapshots(warehouse, key, folder, classes, datasets_folder())
    with progress("Training heads"):
        snapshot_id = report["dataset"]["snapshot_id"]
        report["heads"] = heads.train_heads(warehouse, snapshot_id, kinds, datasets_folder())
    report["service"] = str(service.write_service_file())
    with progress("Searching for every payload"):
        report["search"] = _search(contents, temporary)
    return report


def datasets_folder() -> Path:
    """Return the folder in which the demo's dataset files stay."""
    return home.folder() / "datasets"


def _producers(folder: Path) -> dict[str, streaming.Producer]:
    for name, stream in {"digits": digits.STREAM, "texts": texts.STREAM}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(stream))
    return {
        "digits": streaming.Producer(folder / "digits.yaml", f"files:{folder / 'uploads'}/*", folder / "metadata.csv"),
        "texts": streaming.Producer(folder / "texts.yaml", f"jsonl:{folder / 'messages.jsonl'}"),
    }


def _use_temporary_folder(folder: Path) -> Path:
    """Redirect temporary files into a folder of their own, so that the search covers what the run leaves there."""
    temporary = folder / "temporary"
    temporary.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    return temporary


def _streaming_report(warehouse: Warehouse, runs: Sequence[streaming.StreamRun], since: datetime) -> dict[str, Any]:
    return {
        "published": {run.name: run.published.messages for run in runs},
        "unpublished": {run.name: dict(run.published.refused) for run in runs},
        "ingest": {run.name: run.summary for run in runs},
        "events": {
            run.name: warehouse.query(_COUNT.format(stream=run.stream, since=since.isoformat()))[0]["events"]
            for run in runs
        },
    }


def _search(contents: list[bytes], temporary: Path) -> dict[str, Any]:
    """Search every file that the run left for each content; the local BigQuery's database is one of them."""
    search = Search(contents)
    traces = search.in_folder(home.folder()) | search.in_folder(temporary)
    planted = spelled(contents[-1])
    planted_found = [name for name, leak in planted.items() if search.in_bytes(leak, "planted")]
    return {
        "contents": search.contents - search.too_short,
        "planted": len(planted),
        "planted_found": len(planted_found),
        "found": sorted({trace.place for trace in traces}),
        "unread": sorted(search.unread),
    }
