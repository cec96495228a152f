"""`rawless demo`: run the whole pipeline on real input."""

import tempfile
from pathlib import Path
from typing import Any

from rawless.cli.options import Json
from rawless.cli.output import echo, print_json, print_table, progress

_REQUEST = (
    "curl -s localhost:8080/v1/heads/text_kind/predict "
    """--json '{"text": "You may copy and sell this software free of charge."}'"""
)


def demo(json: Json = False) -> None:
    """Turn real digits and texts into embeddings in the local BigQuery, then search everything for their content."""
    from rawless.demo.run import run_demo

    if not json:
        echo("Two producers publish handwritten digits, as customers' uploads, and texts of four kinds, as their")
        echo("messages, while two streaming jobs read them. Some are invalid, some are hostile, some come twice.\n")
    with tempfile.TemporaryDirectory(prefix="rawless-demo-") as folder:
        report = run_demo(Path(folder), progress)
    if json:
        print_json(report)
    else:
        _print_report(report)


def _print_report(report: dict[str, Any]) -> None:
    reasons = sorted({reason for summary in report["ingest"].values() for reason in summary["rejections"]})
    counts = {name: _counts(report, name, reasons) for name in report["ingest"]}
    print_table([{"count": row, **{name: counts[name][row] for name in counts}} for row in counts["digits"]])
    if any(summary["stopped"] for summary in report["ingest"].values()):
        echo("The jobs were stopped before the end; these are the counts up to that point.")
    echo(f"{report['seconds']:.1f} seconds.\n")
    same = report["same_digit"]
    echo(f"Of {same['asked']} digits, {same['same']} have a nearest neighbour that is the same digit.")
    for event_id, neighbours in report["neighbours"].items():
        described = ", ".join(f"{row['event_id']} ({row['similarity']:.2f})" for row in neighbours)
        echo(f"Nearest to {event_id}: {described}")
    echo("")
    _print_dataset(report["dataset"])
    _print_heads(report["heads"])
    _print_search(report["search"])
    _print_next_steps(report["service"])


def _counts(report: dict[str, Any], name: str, reasons: list[str]) -> dict[str, int]:
    """Return one stream's column of the table, from top to bottom."""
    summary, events = report["ingest"][name], report["events"][name]
    return {
        "published": report["published"][name],
        "could not be published": sum(report["unpublished"][name].values()),
        "read": summary["read"],
        "logged as embeddings": summary["embeddings"],
        "  distinct events": events,
        "  duplicates, hidden from readers": summary["embeddings"] - events,
        "rejected": sum(summary["rejections"].values()),
        **{f"  {reason}": summary["rejections"].get(reason, 0) for reason in reasons},
        "attributes dropped": summary["dropped_attributes"],
        "events a second": round(summary["events_per_second"]),
    }


def _print_dataset(dataset: dict[str, Any]) -> None:
    from rawless.datasets.spec import SPLITS

    counts = dataset["counts"]
    rows = sum(count["row_count"] for count in counts)
    splits = {split: sum(count["row_count"] for count in counts if count["split"] == split) for split in SPLITS}
    echo(f"A dataset of digits, labelled by what customers confirmed: snapshot {dataset['snapshot_id']}.")
    print_table(
        [{"rule": line["rule"], "rows in": line["rows_in"], "removed": line["removed"]} for line in dataset["ledger"]]
    )
    echo(f"{rows:,} rows: " + ", ".join(f"{count:,} {split}" for split, count in splits.items()) + ".")
    echo(f"With 30 days instead of 50 it is another snapshot, {dataset['changed_snapshot_id']}:")
    for move in dataset["diff"]:
        echo(f"  {move['rows']:,} rows {move['change']}" + (f", by {move['rule']}" if move["rule"] else ""))


def _print_heads(heads: list[dict[str, Any]]) -> None:
    from rawless.heads.metrics import Metric

    echo("\nA linear head on the stored vectors of each stream, evaluated on its test split:")
    print_table(
        [
            {
                "head": head["head"],
                "trained on": head["rows"]["train"],
                "tested on": head["rows"]["test"],
                "accuracy": str(Metric(**head["accuracy"])),
                **{name: f"{value:.3f}" for name, value in head["baselines"].items()},
            }
            for head in heads
        ]
    )
    for head in heads:
        echo(f"  The report on {head['head']} is {head['report']}; open it in a browser.")


def _print_search(search: dict[str, Any]) -> None:
    echo(f"\nSearched every remaining table, log and file for {search['contents']} payloads, pixels and customers:")
    echo(f"  found in {len(search['found'])} places {search['found'] or ''}".rstrip())
    if search["unread"]:
        echo(f"  could not read {len(search['unread'])} places to their end {search['unread']}")
    echo(f"  (the search finds a planted payload in {search['planted_found']} of {search['planted']} spellings;")
    echo("  docs/demo.md lists the formats that it reads, and what it cannot find)")


def _print_next_steps(service_file: str) -> None:
    from rawless.demo.run import datasets_folder

    echo("\nTry next:")
    echo(f"  rawless serve {service_file}, and in another terminal:")
    echo(f"    {_REQUEST}")
    echo(f"  change a rule in {datasets_folder() / 'digit_uploads-30.yaml'}, and run: rawless dataset build FILE")
    echo('  rawless sql "SELECT stream, reason, COUNT(*) AS n FROM rejection_v1 GROUP BY stream, reason"')
    echo("  rawless stream check examples/support_message/stream.yaml")
