"""`rawless demo`: the whole line on real input."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from rawless import home
from rawless.options import Json
from rawless.output import print_json, print_table, progress, say

_NEIGHBOURS = """
WITH event AS (SELECT event_id, embedding FROM events.embedding_event(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01')
  WHERE stream = 'demo_message')
SELECT other.event_id, ROUND(1 - COSINE_DISTANCE(asked.embedding, other.embedding), 3) AS similarity
FROM event AS asked, event AS other
WHERE asked.event_id = '{event_id}' AND other.event_id != asked.event_id
ORDER BY similarity DESC, other.event_id
LIMIT 3
"""
_COUNT = """
SELECT COUNT(*) AS events, COUNTIF(conflict_at IS NOT NULL) AS conflicts
FROM events.embedding_event(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01') WHERE stream = 'demo_message'
"""
_ASKED = ("licence-005", "reference-040")


def demo(json: Json = False) -> None:
    """Real texts in, embedding rows in the local BigQuery; then every payload is looked for in all that was left."""
    with tempfile.TemporaryDirectory(prefix="rawless-demo-") as folder:
        report = _run(Path(folder), talk=not json)
    if json:
        print_json(report)


def _run(folder: Path, talk: bool) -> dict[str, Any]:
    from rawless.commands.ingest import run
    from rawless.demo import STREAM, texts, today, write_events
    from rawless.places import open_warehouse

    started = time.monotonic()
    with progress("Starting the local BigQuery"):
        warehouse = open_warehouse(None)
    stream, source = folder / "stream.yaml", folder / "messages.jsonl"
    stream.write_text(yaml.safe_dump(STREAM))
    contents = write_events(source, texts(), today())
    if talk:
        say("Real texts of four kinds pose as customers' messages; some are broken, some come twice.\n")
    left = _temporary(folder)
    summary = run(stream, f"jsonl:{source}", None, "auto", None, [])
    report = {
        "ingest": summary,
        "embedding_event": warehouse.query(_COUNT)[0],
        "neighbours": {each: warehouse.query(_NEIGHBOURS.format(event_id=each)) for each in _ASKED},
        "search": _search(contents, warehouse, left),
        "seconds": round(time.monotonic() - started, 1),
    }
    if talk:
        _tell(report)
    return report


def _temporary(folder: Path) -> Path:
    """From here on temporary files go into a folder of their own, so that what the run leaves there is searched too."""
    left = folder / "temporary"
    left.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(left)
    return left


def _search(contents: list[bytes], warehouse: Any, left: Path) -> dict[str, Any]:
    """Look for every content in every table, and in every file that the run left."""
    from audit.search import Search, spelled

    search = Search(contents)
    with progress("Looking for every payload"):
        traces = search.in_tables(warehouse) | search.in_folder(home.folder()) | search.in_folder(left)
    planted = spelled(contents[0])
    seen = [name for name, leak in planted.items() if search.in_bytes(leak, "planted")]
    return {
        "contents": search.contents - search.too_short,
        "planted": len(planted),
        "planted_found": len(seen),
        "found": sorted({trace.place for trace in traces}),
    }


def _tell(report: dict[str, Any]) -> None:
    summary, search = report["ingest"], report["search"]
    rejected = sum(summary["rejections"].values())
    print_table(
        [
            {"what": "read", "count": summary["read"]},
            {"what": "logged as embeddings", "count": summary["embeddings"]},
            {"what": "  of these, different events", "count": report["embedding_event"]["events"]},
            {"what": "rejected", "count": rejected},
            *({"what": f"  {reason}", "count": count} for reason, count in summary["rejections"].items()),
            {"what": "attributes dropped", "count": summary["dropped_attributes"]},
        ]
    )
    say(f"{summary['seconds']:.1f} seconds, {summary['events_per_second']:.0f} events a second.\n")
    for asked, found in report["neighbours"].items():
        near = ", ".join(f"{row['event_id']} ({row['similarity']:.2f})" for row in found)
        say(f"Nearest to {asked}: {near}")
    say(f"\nLooked for {search['contents']} payloads and customers in every table, and in every log and file left:")
    say(f"  found in {len(search['found'])} places {search['found'] or ''}".rstrip())
    say(f"  (the search finds a planted payload in {search['planted_found']} of {search['planted']} spellings)\n")
    say('Try next: rawless sql "SELECT reason, COUNT(*) AS n FROM rejection_v1 GROUP BY reason"')
