"""Questions in letters about documents of words: a plain encoder finds few of these, and a tower learns to."""

import itertools
import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from encoders.encoder import Encoded
from encoders.load import load
from encoders.spec import EncoderSpec
from rawless.datasets.snapshots import Manifest
from rawless.privacy import Raw
from rawless.warehouse.append import append_all
from tests.shop import AS_OF, Shop, make_row

MARK = "qzx4711"
PERSONS, QUERIES = 90, 3
WORDS = ("where", "is", "my", "parcel", "paid", "for", "two", "cat", "dog", "bird")
LETTERS = dict(zip(WORDS, "abcdefghij", strict=True))
STREAM = {
    "stream": "question",
    "modality": "text",
    "event_id": {"pattern": "[qd]-[0-9]{1,2}(-[0-9])?"},
    "subject": "none",
    "limits": {"max_age": "3640d"},
}
_LABEL = """/*
says: Questions that a document answered.
kind: pair
*/
SELECT answered.question AS left_event_id, answered.document AS right_event_id, answered.outcome AS label,
  answered.known_at AS labelled_at
FROM answered
"""


def question(person: int, number: int) -> str:
    """Return a question, which says the words of its document in letters, and a marker that nothing may keep."""
    letters = " ".join(LETTERS[word] for word in _words(person))
    return f"{letters} {random.Random(100 * person + number).randint(10, 99)} {MARK}"


def _words(person: int) -> tuple[str, ...]:
    combinations = list(itertools.combinations(WORDS, 2))
    return combinations[person % len(combinations)]


def write_source(folder: Path, encoder: str) -> None:
    """Write the questions, without the documents, and the file of their stream."""
    (folder / "question.yaml").write_text(yaml.safe_dump(STREAM | {"encoders": [encoder]}))
    lines = [
        {"event_id": name, "occurred_at": at.isoformat(), "stream": "question", "text": text}
        for name, at, text, _ in _events()
        if name.startswith("q")
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def build_pairs(shop: Shop, spec: EncoderSpec) -> Manifest:
    """Append the vectors of all events, and build a snapshot of the pairs of question and document."""
    events = list(_events())
    outcomes = load(spec, "cpu").encode([Raw(text.encode()) for _, _, text, _ in events])
    fields: dict[str, Any] = {"stream": "question", "modality": "text", "encoder": spec.name, "attributes": ()}
    fields |= {"encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
    rows = []
    for (name, at, _, person), outcome in zip(events, outcomes, strict=True):
        assert isinstance(outcome, Encoded)
        own = {"event_id": name, "occurred_at": at, "logged_at": at, "subject_key": f"asker-{person}"}
        rows.append(make_row(0, fields | own | {"embedding": outcome.vector}))
    append_all(shop.warehouse, rows)
    pairs = [(f"q-{n}-{k}", f"d-{n}", "yes") for n in range(PERSONS) for k in range(QUERIES)]
    pairs += [(f"q-{n}-0", f"d-{(n + 45) % PERSONS}", "no") for n in range(0, PERSONS, 3)]
    questions, documents, labels = zip(*pairs, strict=True)
    columns = {"question": questions, "document": documents, "outcome": labels, "known_at": [AS_OF] * len(pairs)}
    shop.load("answered", columns)
    (shop.folder / "labels" / "answered.sql").write_text(_LABEL)
    return shop.build(
        dataset="answered",
        stream="question",
        encoder=spec.ref,
        sources=[{"table": "answered", "known_at": "known_at"}],
        label={"query": "answered", "kind": "pair", "classes": ["no", "yes"]},
        rules=None,
    ).manifest


def _events() -> list[tuple[str, datetime, str, int]]:
    """Return id, time, text and person of each event."""
    events = []
    for person in range(PERSONS):
        at = AS_OF - timedelta(hours=person + 1)
        events.append((f"d-{person}", at, " ".join(_words(person)), person))
        events += [(f"q-{person}-{number}", at, question(person, number), person) for number in range(QUERIES)]
    return events
