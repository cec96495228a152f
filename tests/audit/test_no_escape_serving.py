"""Promise 1 for the services: a marker in any place of a request is found nowhere but in the encoder's memory."""

import json
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rawless.audit.search import Search
from rawless.warehouse.client import Warehouse
from tests.serving.conftest import Bench, bench, eventually

__all__ = ["bench"]
MARKER = "Rosalind-0815-Quibble-Zanzibar"
JSON = {"content-type": "application/json"}
METADATA = {"rawless-event-id": "msg-0001", "rawless-subject-id": f"customer {MARKER}"}


def _requests() -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Paths, bodies and headers with the marker in every place, valid and malformed in every way."""
    good, path = json.dumps({"text": f"{MARKER} is my name."}).encode(), "/v1/heads/topic/predict"
    yield path, good, METADATA
    yield path, good, {}
    yield f"{path}?text={MARKER}&{MARKER}=1", good, METADATA
    yield f"/v1/heads/{MARKER}/predict", good, METADATA
    yield f"/{MARKER}", good, METADATA
    for body in (
        MARKER.encode(),
        b"{" + MARKER.encode(),
        json.dumps({MARKER: MARKER}).encode(),
        json.dumps({"text": [MARKER]}).encode(),
        json.dumps({"text": f"{MARKER}\0"}).encode(),
        json.dumps({"text": MARKER * 100}).encode(),
        json.dumps({"text": MARKER * 1000}).encode(),
        b'{"text": "\xff' + MARKER.encode() + b'"}',
    ):
        yield path, body, METADATA
    for name in ("event-id", "occurred-at", "subject-id", "attributes", "assignment-key"):
        yield path, good, {**METADATA, f"rawless-{name}": MARKER}
    yield path, good, {**METADATA, "rawless-attributes": json.dumps({"channel": MARKER, MARKER: "chat"})}
    yield path, good, {**METADATA, "content-type": f"text/{MARKER}"}
    items = [{"text": MARKER}, {MARKER: MARKER}, {"text": MARKER, "event_id": MARKER}, {"text": f"{MARKER}\0"}]
    yield path, json.dumps(items).encode(), {"rawless-subject-id": MARKER}
    yield path, json.dumps([{"text": MARKER * 5000}] * 20).encode(), {}
    yield path, json.dumps({"items": items, MARKER: MARKER}).encode(), {}
    field = f'Content-Disposition: form-data; name="text"; filename="{MARKER}"\r\nX-{MARKER}: {MARKER}\r\n\r\n{MARKER}'
    for fields in ([field] * 3, [field.replace('"text"', MARKER)], [f"{MARKER}: {MARKER}"], [field + MARKER * 50_000]):
        form = "".join(f"--b\r\n{each}\r\n" for each in fields) + "--b--"
        for sent in (form.encode(), form[:-9].encode(), MARKER.encode() + form.encode()):
            yield path, sent, {"content-type": f"multipart/form-data; boundary=b; {MARKER}={MARKER}"}
    yield path, good, {**METADATA, "authorization": f"Bearer {MARKER}", "user-agent": MARKER, "traceparent": MARKER}


@pytest.mark.parametrize("role", ["all", "split"])
def test_no_content_of_a_request_is_written_anywhere(
    bench: Bench,
    warehouse: Warehouse,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
) -> None:
    left = tmp_path / "left"
    left.mkdir()
    monkeypatch.setenv("TMPDIR", str(left))
    monkeypatch.setattr(tempfile, "tempdir", str(left))
    bench.deploy("topic")
    bench.deploy("next")
    heads = {"topic": {"log": True, "shadow": ["next"]}}
    output: list[str] = []
    with caplog.at_level("DEBUG"), bench.running:
        client = (_together if role == "all" else _apart)(bench, heads, warehouse, monkeypatch)
        statuses = set()
        for path, body, headers in _requests():
            answer = client.post(path, content=body, headers={**JSON, **headers})
            statuses.add(answer.status_code)
            output += [answer.text, str(answer.headers)]
        eventually(lambda: bool(warehouse.query("SELECT event_id FROM prediction_v1")))
        output.append(client.get("/metrics").text)

    output += [*capfd.readouterr(), *bench.messages, *(repr(record.__dict__) for record in _ours(caplog))]
    search = Search([MARKER.encode()])
    traces = search.in_bytes("\n".join(output).encode(), "output") | search.in_folder(left)
    traces |= search.in_folder(Path(os.environ["RAWLESS_HOME"]))
    assert traces == search.unread == set()
    assert statuses == {200, 400, 404, 413, 415, 422}


def _ours(caplog: pytest.LogCaptureFixture) -> list[object]:
    """Return all records but those of the test's own client, which runs in this thread."""
    return [record for record in caplog.records if record.threadName != threading.current_thread().name]


def _together(bench: Bench, heads: dict[str, object], warehouse: Warehouse, _: pytest.MonkeyPatch) -> httpx.Client:
    return bench.start(heads, warehouse=warehouse)


def _apart(
    bench: Bench, heads: dict[str, object], warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> httpx.Client:
    from rawless.serving.remote import TOKEN_VARIABLE
    from tests.serving.test_services import ACCESS, SERVICE

    monkeypatch.setenv(TOKEN_VARIABLE, SERVICE)
    urls = {role: {"url": str(bench.start(heads, role, access=ACCESS).base_url)} for role in ("encoder", "classifier")}
    return bench.start(heads, "orchestrator", warehouse=warehouse, **urls)
