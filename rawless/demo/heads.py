"""The demo's heads: which digit it is, and what kind of text, from stored vectors alone."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from rawless.datasets.build import build
from rawless.datasets.dataset import open_dataset
from rawless.datasets.snapshots import Manifest, find
from rawless.heads.deployment import deploy
from rawless.heads.examples import open_task
from rawless.heads.publish import publish_trained
from rawless.heads.spec import load_head_spec
from rawless.heads.training import train
from rawless.local import home
from rawless.report.page import write as write_page
from rawless.warehouse.client import Warehouse
from rawless.warehouse.load import load_file

LABEL = """/*
says: What kind of text an agent said that it is, the last time.
kind: event
*/
SELECT
  kind_told.event_id,
  kind_told.kind AS label,
  kind_told.known_at AS labelled_at
FROM kind_told
"""
_TEXTS: dict[str, Any] = {
    "dataset": "text_kinds",
    "stream": "demo_message",
    "encoder": "minilm@1.0.0",
    "sources": [{"table": "kind_told", "known_at": "told_at"}],
    "label": {"query": "told_kind"},
    "split": {"by": "person", "train": 0.6, "validation": 0.2, "test": 0.2, "salt": "a"},
}


def text_snapshot(warehouse: Warehouse, kinds: dict[str, list[str]], own: Path) -> Manifest:
    """A snapshot of the demo's texts, labelled with what kind each is."""
    (own / "labels").mkdir(parents=True, exist_ok=True)
    (own / "labels" / "told_kind.sql").write_text(LABEL)
    told_at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    ids = [(f"{kind}-{number:03d}", kind) for kind, texts in kinds.items() for number in range(len(texts))]
    table = own / "kind_told.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("event_id", "kind", "told_at"), *((*each, told_at) for each in ids)])
    load_file(warehouse, "kind_told", table, replace=True)
    table.unlink()
    label = _TEXTS["label"] | {"classes": sorted(kinds)}
    spec = own / "text_kinds.yaml"
    spec.write_text(yaml.safe_dump(_TEXTS | {"label": label, "as_of": datetime.now(UTC).isoformat()}))
    return build(warehouse, open_dataset(spec), timedelta(0), lambda _: None).manifest


def heads(warehouse: Warehouse, digits_id: str, kinds: dict[str, list[str]], own: Path) -> list[dict[str, Any]]:
    """A linear head for the digits and one for the texts, both live, and a page about each."""
    texts = text_snapshot(warehouse, kinds, own)
    snapshots = {"digit": find(warehouse, digits_id), "text_kind": texts}
    return [_head(warehouse, name, snapshot, own) for name, snapshot in snapshots.items()]


def _head(warehouse: Warehouse, name: str, snapshot: Manifest, own: Path) -> dict[str, Any]:
    file = own / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"head": name, "snapshot": snapshot.snapshot_id, "kind": "linear"}))
    spec = load_head_spec(file)
    trained = train(open_task(warehouse, spec, snapshot), lambda _: None)
    manifest, folder = publish_trained(warehouse, trained, home.heads())
    deploy(home.heads(), name, manifest.version, new_layout=True)
    page = home.folder() / "reports" / f"{name}.html"
    write_page(warehouse, snapshot, [(manifest, trained.evaluation)], page)
    found = trained.evaluation
    baselines = {baseline: told[0].value for baseline, told in found.baselines.items()}
    return {
        "head": f"{manifest.head}@{manifest.version}",
        "folder": str(folder),
        "report": str(page),
        "rows": found.rows,
        "accuracy": found.main._asdict(),
        "baselines": baselines,
        "warnings": found.warnings,
    }
