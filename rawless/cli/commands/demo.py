"""`rawless demo`: the whole line on real input."""

import os
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from rawless.cli.options import Json
from rawless.cli.output import echo, print_json, print_table, progress
from rawless.local import home

_NEIGHBOURS = """
WITH event AS (SELECT event_id, embedding FROM events.embedding_event(TIMESTAMP '1970-01-01', TIMESTAMP '2100-01-01')
  WHERE stream = '{stream}'),
pair AS (
  SELECT asked.event_id AS asked, other.event_id,
    ROUND(1 - COSINE_DISTANCE(asked.embedding, other.embedding), 3) AS near
  FROM event AS asked, event AS other
  WHERE asked.event_id IN ({asked}) AND other.event_id != asked.event_id)
SELECT asked, event_id, near AS similarity FROM pair
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY asked ORDER BY near DESC, event_id) <= {count}
ORDER BY asked, near DESC, event_id
"""
_COUNT = """
SELECT COUNT(DISTINCT event_id) AS events FROM embedding_event_v1
WHERE occurred_at >= TIMESTAMP '1970-01-01' AND logged_at >= TIMESTAMP '{since}' AND stream = '{stream}'
"""
_ASKED_TEXTS = ("licence-005", "reference-040")
_ASK = (
    "curl -s localhost:8080/v1/heads/text_kind/predict "
    """--json '{"text": "You may copy and sell this software free of charge."}'"""
)
_ASKED_DIGITS = range(0, 1797, 18)


def demo(json: Json = False) -> None:
    """Real digits and texts in, embedding rows in the local BigQuery; then each payload is looked for in all that was
    left.
    """
    with tempfile.TemporaryDirectory(prefix="rawless-demo-") as folder:
        report = _run(Path(folder), talk=not json)
    if json:
        print_json(report)


def _run(folder: Path, talk: bool) -> dict[str, Any]:
    from rawless.connect import open_key_source, open_warehouse
    from rawless.demo import datasets, digits, heads, service, streaming, texts, today

    started = time.monotonic()
    with progress("Starting the local BigQuery and Pub/Sub"):
        warehouse = open_warehouse(None)
    (pictures, classes), kinds = digits.digits(), texts.texts()
    streams = {"digits": digits.STREAM, "texts": texts.STREAM}
    for name, stream in streams.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(stream))
    uploads, messages = folder / "uploads", folder / "messages.jsonl"
    contents = digits.write_uploads(folder, pictures, today()) + texts.write_events(messages, kinds, today())
    if talk:
        echo("Two producers publish handwritten digits, as customers' uploads, and texts of four kinds, as their")
        echo("messages, while two streaming jobs read them. Some are broken, some are hostile, some come twice.\n")
    left = _temporary(folder)
    producers = {
        "digits": streaming.Producer(folder / "digits.yaml", f"files:{uploads}/*", folder / "metadata.csv"),
        "texts": streaming.Producer(folder / "texts.yaml", f"jsonl:{messages}"),
    }
    with progress("Loading the encoders"):
        since = datetime.now(UTC)
        lines = [streaming.line(name, producer) for name, producer in producers.items()]
    streaming.run(lines)
    report: dict[str, Any] = {
        "published": {each.name: each.published.messages for each in lines},
        "unpublished": {each.name: dict(each.published.refused) for each in lines},
        "ingest": {each.name: each.summary for each in lines},
        "events": {
            each.name: warehouse.query(_COUNT.format(stream=each.stream, since=since.isoformat()))[0]["events"]
            for each in lines
        },
        "same_digit": _same_digit(warehouse, classes),
        "neighbours": _neighbours(warehouse, "demo_message", _ASKED_TEXTS, 3),
        "seconds": round(time.monotonic() - started, 1),
    }
    with progress("Building a dataset"):
        key = open_key_source(warehouse).load()
        report["dataset"] = datasets.snapshots(warehouse, key, folder, classes, _own())
    with progress("Training heads"):
        snapshot_id = report["dataset"]["snapshot_id"]
        report["heads"] = heads.heads(warehouse, snapshot_id, kinds, _own())
    report["service"] = str(service.write())
    report["search"] = _search(contents, warehouse, left)
    if talk:
        _tell(report)
    return report


def _own() -> Path:
    """Where the demo's dataset files stay."""
    return home.folder() / "datasets"


def _neighbours(warehouse: Any, stream: str, asked: Iterable[str], count: int) -> dict[str, list[dict[str, Any]]]:
    """For each event that is asked for, the nearest others."""
    names = ", ".join(f"'{each}'" for each in asked)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in warehouse.query(_NEIGHBOURS.format(stream=stream, asked=names, count=count)):
        found.setdefault(row.pop("asked"), []).append(row)
    return found


def _same_digit(warehouse: Any, classes: list[int]) -> dict[str, int]:
    """Of some digits, how many have the same digit as their nearest neighbour."""
    asked = [f"digit-{number:04d}" for number in _ASKED_DIGITS]
    nearest = {
        event_id: next((row["event_id"] for row in rows if row["event_id"].startswith("digit-")), None)
        for event_id, rows in _neighbours(warehouse, "digit_upload", asked, 5).items()
    }
    same = sum(
        other is not None and classes[int(one[-4:])] == classes[int(other[-4:])] for one, other in nearest.items()
    )
    return {"asked": len(nearest), "same": same}


def _temporary(folder: Path) -> Path:
    """From here on temporary files go into a folder of their own, so that what the run leaves there is searched too."""
    left = folder / "temporary"
    left.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(left)
    return left


def _search(contents: list[bytes], warehouse: Any, left: Path) -> dict[str, Any]:
    """Look for every content in every table, and in every file that the run left."""
    from rawless.audit.search import Search, spelled

    search = Search(contents)
    with progress("Looking for every payload"):
        traces = search.in_tables(warehouse) | search.in_folder(home.folder()) | search.in_folder(left)
    planted = spelled(contents[-1])
    seen = [name for name, leak in planted.items() if search.in_bytes(leak, "planted")]
    return {
        "contents": search.contents - search.too_short,
        "planted": len(planted),
        "planted_found": len(seen),
        "found": sorted({trace.place for trace in traces}),
    }


def _tell(report: dict[str, Any]) -> None:
    search, same = report["search"], report["same_digit"]
    reasons = sorted({reason for summary in report["ingest"].values() for reason in summary["rejections"]})
    counts = {name: _counts(report, name, reasons) for name in report["ingest"]}
    print_table([{"what": what, **{name: counts[name][what] for name in counts}} for what in counts["digits"]])
    if any(summary["stopped"] for summary in report["ingest"].values()):
        echo("Stopped before the end: this is what was done until then.")
    echo(f"{report['seconds']:.1f} seconds.\n")
    echo(f"Of {same['asked']} digits, {same['same']} have the same digit as their nearest neighbour.")
    for asked, found in report["neighbours"].items():
        near = ", ".join(f"{row['event_id']} ({row['similarity']:.2f})" for row in found)
        echo(f"Nearest to {asked}: {near}")
    echo("")
    _tell_dataset(report["dataset"])
    _tell_heads(report["heads"])
    echo(f"\nLooked for {search['contents']} payloads, pixels and customers in every table, log and file left:")
    echo(f"  found in {len(search['found'])} places {search['found'] or ''}".rstrip())
    echo(f"  (the search finds a planted payload in {search['planted_found']} of {search['planted']} spellings)")
    echo("\nTry next:")
    echo(f"  rawless serve {report['service']}, and in another terminal:")
    echo(f"    {_ASK}")
    echo(f"  change a rule in {_own() / 'digit_uploads-30.yaml'}, and run: rawless dataset build FILE")
    echo('  rawless sql "SELECT stream, reason, COUNT(*) AS n FROM rejection_v1 GROUP BY stream, reason"')
    echo("  rawless stream check examples/support_message/stream.yaml")


def _tell_dataset(made: dict[str, Any]) -> None:
    from rawless.datasets.spec import SPLITS

    rows = sum(count["row_count"] for count in made["counts"])
    echo(f"Which digit is it? A labelled dataset, from what customers confirmed: snapshot {made['snapshot_id']}.")
    splits = {split: sum(each["row_count"] for each in made["counts"] if each["split"] == split) for split in SPLITS}
    print_table(
        [{"rule": line["rule"], "rows in": line["rows_in"], "removed": line["removed"]} for line in made["ledger"]]
    )
    echo(f"{rows:,} rows: " + ", ".join(f"{count:,} {split}" for split, count in splits.items()) + ".")
    echo(f"With 30 days instead of 50 it is another snapshot, {made['changed_snapshot_id']}:")
    for each in made["diff"]:
        echo(f"  {each['rows']:,} rows {each['change']}" + (f", by {each['rule']}" if each["rule"] else ""))


def _tell_heads(made: list[dict[str, Any]]) -> None:
    from rawless.heads.metrics import Metric

    echo("\nA linear head on the stored vectors of each, in its test split:")
    rows = [
        {
            "head": each["head"],
            "trained on": each["rows"]["train"],
            "tested on": each["rows"]["test"],
            "accuracy": str(Metric(**each["accuracy"])),
            **{name: f"{value:.3f}" for name, value in each["baselines"].items()},
        }
        for each in made
    ]
    print_table(rows)
    for each in made:
        echo(f"  {each['report']} draws it: open it in a browser.")


def _counts(report: dict[str, Any], name: str, reasons: list[str]) -> dict[str, int]:
    """What one stream's column of the table says, from the top down."""
    summary, events = report["ingest"][name], report["events"][name]
    return {
        "published": report["published"][name],
        "could not be published": sum(report["unpublished"][name].values()),
        "read": summary["read"],
        "logged as embeddings": summary["embeddings"],
        "  different events": events,
        "  duplicates, which readers never see": summary["embeddings"] - events,
        "rejected": sum(summary["rejections"].values()),
        **{f"  {reason}": summary["rejections"].get(reason, 0) for reason in reasons},
        "attributes dropped": summary["dropped_attributes"],
        "events a second": round(summary["events_per_second"]),
    }
