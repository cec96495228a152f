"""Train the demo's heads on stored vectors: one for the digit, one for the kind of text."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from rawless.datasets.build import build
from rawless.datasets.compile import compile_dataset
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
says: The kind of text that an agent confirmed last.
kind: event
*/
SELECT
  kind_confirmed.event_id,
  kind_confirmed.kind AS label,
  kind_confirmed.known_at AS labelled_at
FROM kind_confirmed
"""
_TEXTS: dict[str, Any] = {
    "dataset": "text_kinds",
    "stream": "demo_message",
    "encoder": "minilm@1.0.0",
    "sources": [{"table": "kind_confirmed", "known_at": "confirmed_at"}],
    "label": {"query": "confirmed_kind"},
    "split": {"by": "person", "train": 0.6, "validation": 0.2, "test": 0.2, "salt": "a"},
}


def text_snapshot(warehouse: Warehouse, kinds: dict[str, list[str]], folder: Path) -> Manifest:
    """Build a snapshot of the demo's texts, labelled with their kind. The dataset file is written to `folder`."""
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    (folder / "labels" / "confirmed_kind.sql").write_text(LABEL)
    confirmed_at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    ids = [(f"{kind}-{number:03d}", kind) for kind, texts in kinds.items() for number in range(len(texts))]
    table = folder / "kind_confirmed.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("event_id", "kind", "confirmed_at"), *((*each, confirmed_at) for each in ids)])
    load_file(warehouse, "kind_confirmed", table, existing="replace")
    table.unlink()
    label = _TEXTS["label"] | {"classes": sorted(kinds)}
    spec = folder / "text_kinds.yaml"
    spec.write_text(yaml.safe_dump(_TEXTS | {"label": label, "as_of": datetime.now(UTC).isoformat()}))
    return build(compile_dataset(warehouse, open_dataset(spec)), timedelta(0), lambda _: None).manifest


def train_heads(
    warehouse: Warehouse, digits_id: str, kinds: dict[str, list[str]], folder: Path
) -> list[dict[str, Any]]:
    """Train a linear head for the digits and one for the texts, make them live, and write a report on each."""
    texts = text_snapshot(warehouse, kinds, folder)
    snapshots = {"digit": find(warehouse, digits_id), "text_kind": texts}
    return [_train_head(warehouse, name, snapshot, folder) for name, snapshot in snapshots.items()]


def _train_head(warehouse: Warehouse, name: str, snapshot: Manifest, folder: Path) -> dict[str, Any]:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"head": name, "snapshot": snapshot.snapshot_id, "kind": "linear"}))
    spec = load_head_spec(file)
    trained = train(open_task(warehouse, spec, snapshot), lambda _: None)
    manifest, head_folder = publish_trained(warehouse, trained, home.heads())
    deploy(home.heads(), name, manifest.version, new_layout=True)
    page = home.folder() / "reports" / f"{name}.html"
    write_page(warehouse, snapshot, [(manifest, trained.evaluation)], page)
    evaluation = trained.evaluation
    baselines = {name: measures[0].value for name, measures in evaluation.baselines.items()}
    return {
        "head": f"{manifest.head}@{manifest.version}",
        "folder": str(head_folder),
        "report": str(page),
        "rows": evaluation.rows,
        "accuracy": evaluation.main._asdict(),
        "baselines": baselines,
        "warnings": evaluation.warnings,
    }
