"""The demo's texts: licences, the language reference, docstrings and package summaries, used as messages."""

import base64
import importlib.metadata
import inspect
import json
import pydoc_data.topics
import random
import re
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from rawless.demo import customer, occurred_at

STREAM = {
    "stream": "demo_message",
    "modality": "text",
    "encoders": ["minilm@1.0.0"],
    "event_id": {"pattern": r"(licence|reference|docstring|package)-\d{3}|extra-\d{3}"},
    "subject": "required",
    "attributes": {"channel": {"enum": ["chat", "email"]}},
    "limits": {"max_bytes": 5000},
}
TEXTS_PER_KIND = 100
REPEATED = 20
_CUSTOMERS = 80
_LONGEST = 600
_SHORTEST = 40


def texts() -> dict[str, list[str]]:
    """Return real texts by kind: paragraphs of licences, of the language reference, docstrings, package summaries."""
    kinds = {"licence": _licences, "reference": _reference, "docstring": _docstrings, "package": _packages}
    return {kind: list(islice(_distinct(read()), TEXTS_PER_KIND)) for kind, read in kinds.items()}


def write_events(path: Path, kinds: dict[str, list[str]], now: datetime) -> list[bytes]:
    """Write the demo's events as JSON lines, some of them invalid or repeated.

    Returns every content that must not be found after the run: payloads and subject ids.
    """
    chance = random.Random(20)  # noqa: S311 - for repeatability
    valid = [
        _event(f"{kind}-{number:03d}", text, now, chance)
        for kind, texts in kinds.items()
        for number, text in enumerate(texts)
    ]
    lines = [json.dumps(event) for event in [*valid, *chance.sample(valid, REPEATED)]]
    invalid = list(_invalid(now, chance))
    lines += [line for line, _ in invalid]
    chance.shuffle(lines)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    payloads = [event["text"].encode() for event in valid] + [payload for _, payload in invalid]
    return payloads + sorted({event["subject_id"].encode() for event in valid})


def _event(event_id: str, text: str, now: datetime, chance: random.Random) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "occurred_at": occurred_at(now, chance),
        "stream": STREAM["stream"],
        "subject_id": customer(chance.randrange(_CUSTOMERS)),
        "attributes": {"channel": chance.choice(["chat", "email"])},
        "text": text,
    }


def _invalid(now: datetime, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield lines that must be rejected or lose an attribute, each with its content."""
    private = "My account number is 4711-0815 and my mother's name is Rosalind."

    def line(number: int, **changes: Any) -> tuple[str, bytes]:
        text = f"{private} ({number})"
        event = _event(f"extra-{number:03d}", text, now, chance) | changes
        return json.dumps({name: value for name, value in event.items() if value is not ...}), text.encode()

    yield line(1, event_id=f"id {private}")
    yield line(2, event_id=...)
    yield line(3, subject_id=...)
    yield line(4, occurred_at="yesterday, when I told you my secret")
    yield line(5, text="   ")
    yield line(6, text=f"{private}\0")
    yield line(7, text=f"{private} \ud83d")
    yield line(8, text=private * 200)
    yield line(9, text=..., payload_base64=base64.b64encode(b"\xff\xfe" + private.encode()).decode())
    yield line(10, text=..., payload_base64="***")
    yield line(11, stream="another_stream")
    yield line(12, attributes={"channel": "chat", "note": private})
    yield json.dumps(line(13)[0])[:-9], private.encode()


def _distinct(texts: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        text = textwrap.shorten(" ".join(text.split()), _LONGEST, placeholder="")
        if len(text) >= _SHORTEST and text not in seen:
            seen.add(text)
            yield text


def _paragraphs(text: str) -> Iterator[str]:
    yield from re.split(r"\n\s*\n", text)


def _licences() -> Iterator[str]:
    for package in _installed():
        for file in package.files or ():
            if "LICENSE" in file.name.upper() and (path := Path(str(package.locate_file(file)))).is_file():
                yield from _paragraphs(path.read_text(encoding="utf-8", errors="ignore"))


def _reference() -> Iterator[str]:
    for _, topic in sorted(pydoc_data.topics.topics.items()):
        yield from islice(_paragraphs(topic), 2, 6)


def _docstrings() -> Iterator[str]:
    import argparse
    import decimal
    import email.message
    import pathlib
    import statistics
    import threading

    modules: list[ModuleType] = [argparse, decimal, email.message, pathlib, statistics, threading]
    for module in modules:
        for _, member in inspect.getmembers(module, _has_docstring):
            yield inspect.getdoc(member) or ""
            for _, method in inspect.getmembers(member, inspect.isfunction):
                yield inspect.getdoc(method) or ""


_has_docstring: Callable[[Any], bool] = lambda member: inspect.isclass(member) or inspect.isfunction(member)  # noqa: E731


def _packages() -> Iterator[str]:
    for package in _installed():
        yield package.metadata["Summary"] or ""
        yield from islice(_paragraphs(str(package.metadata.json.get("description") or "")), 1, 4)


def _installed() -> list[importlib.metadata.Distribution]:
    return sorted(importlib.metadata.distributions(), key=lambda package: package.metadata["Name"].lower())
