"""`rawless serve` in separate processes: started, killed, restarted and stopped."""

import hashlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from rawless.heads import deployment
from rawless.local.home import HOME_VARIABLE
from rawless.serving.remote import TOKEN_VARIABLE
from tests.cli.conftest import Outcome
from tests.drawn_heads import write_head
from tests.fake_google import credentials_file, fake_google
from tests.programs import Program
from tests.serving.conftest import TEXT_STREAM, eventually

Rawless = Callable[..., Outcome]
TOKEN = "a-token-of-256-bits"
PREDICT = "/v1/heads/topic/predict"
MARKER = "Rosalind-0815-Quibble"
SHUT = {"ConnectError", "ReadError", "RemoteProtocolError"}
"""Errors that a caller may get after the service has stopped."""
ENVIRONMENT = {**os.environ, TOKEN_VARIABLE: TOKEN, "OMP_NUM_THREADS": "1"}


class Running:
    """A service in its own process."""

    def __init__(self, *arguments: str | Path) -> None:
        self.arguments = [str(each) for each in arguments]
        self.process = Program(
            "serve",
            *self.arguments,
            environment=ENVIRONMENT | {HOME_VARIABLE: str(Path(self.arguments[0]).parent / "home")},
        )

    def url(self) -> str:
        """Once it answers; also what it printed is JSON."""
        lines = []
        while line := self.process.stdout.readline():
            lines.append(line)
            if line == "}\n":
                return str(json.loads("".join(lines))["url"])
        raise AssertionError(self.process.communicate()[1])

    def end(self, how: signal.Signals) -> tuple[int, str]:
        """Return its exit code and its remaining output."""
        self.process.send_signal(how)
        output = "".join(self.process.communicate(timeout=60))
        return self.process.returncode, output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_sealed: EncoderSpec, tiny_file: Path) -> Path:
    made = tmp_path_factory.mktemp("service")
    write_head(made / "heads", "topic", spec=tiny_sealed)
    deployment.deploy(made / "heads", "topic", 1)
    (made / "message.yaml").write_text(yaml.safe_dump(TEXT_STREAM | {"encoders": [str(tiny_file)]}))
    return made


def _file(folder: Path, name: str, **fields: Any) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump({"heads": {"topic": {"stream": "message.yaml"}}, "head_folder": "heads"} | fields))
    return path


@pytest.fixture
def started() -> Iterator[Callable[..., Running]]:
    """Return a function that starts services; those that are left are killed."""
    left: list[Running] = []

    def start(*arguments: str | Path) -> Running:
        left.append(Running(*arguments))
        return left[-1]

    yield start
    for each in left:
        each.process.kill()
        each.process.communicate()


class Load:
    """Clients that keep sending requests, and the responses that they got."""

    def __init__(self, url: str, callers: int = 3) -> None:
        self.answers: list[httpx.Response] = []
        self.lost: list[str] = []
        self._url, self._ended = url, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(callers)]
        for each in self._threads:
            each.start()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._ended.is_set():
                try:
                    self.answers.append(client.post(PREDICT, json={"text": f"{MARKER} asks"}))
                except httpx.HTTPError as error:
                    self.lost.append(type(error).__name__)
                    return

    def since(self, number: int) -> set[int]:
        """Return the statuses since a response."""
        return {each.status_code for each in self.answers[number:]}

    def end(self) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()


@pytest.mark.full
def test_a_killed_encoder_or_classifier_is_503_until_it_is_back(folder: Path, started: Callable[..., Running]) -> None:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    access = {"tokens": [{"name": "orchestrator", "sha256": digest, "scopes": ["encode", "classify"]}]}
    file = _file(folder, "services.yaml", access=access)
    services = {role: started(file, "--role", role, "--port", "0", "--json") for role in ("encoder", "classifier")}
    urls = {role: {"url": each.url()} for role, each in services.items()}
    door = started(_file(folder, "door.yaml", **urls), "--role", "orchestrator", "--port", "0", "--json")
    load = Load(door.url())
    eventually(lambda: len(load.answers) > 20)
    before = load.since(0)
    output = ""

    for role, service in services.items():
        service.process.kill()
        output += "".join(service.process.communicate())
        seen = len(load.answers)
        eventually(lambda seen=seen: 503 in load.since(seen))  # type: ignore[misc]
        services[role] = started(file, "--role", role, "--port", urls[role]["url"].rpartition(":")[2], "--json")
        services[role].url()
        eventually(lambda: load.answers[-1].status_code == 200)
    ended = [door.end(signal.SIGTERM)]
    load.end()
    ended += [service.end(signal.SIGTERM) for service in services.values()]
    refused = [each for each in load.answers if each.status_code == 503]

    assert before == {200}
    assert load.since(0) == {200, 503}
    assert set(load.lost) <= SHUT
    assert all(each.headers["retry-after"] == "1" and each.json()["reason"] == "unavailable" for each in refused)
    assert [code for code, _ in ended] == [0, 0, 0]
    assert MARKER not in output + "".join(each for _, each in ended) + "".join(each.text for each in refused)


def test_ctrl_c_answers_accepted_requests(folder: Path, started: Callable[..., Running]) -> None:
    door = started(_file(folder, "alone.yaml"), "--port", "0", "--json")
    url = door.url()
    load = Load(url, callers=8)
    eventually(lambda: len(load.answers) > 50)

    code, output = door.end(signal.SIGINT)
    load.end()

    assert code == 0
    assert load.since(0) == {200}
    assert set(load.lost) <= SHUT
    assert output == ""


@pytest.mark.full
def test_a_service_with_a_closed_stderr_keeps_running(
    folder: Path, started: Callable[..., Running], tiny_sealed: EncoderSpec
) -> None:
    door = started(_file(folder, "unread.yaml"), "--port", "0", "--json")
    url = door.url()
    door.process.stderr.close()
    write_head(folder / "heads", "topic", 2, tiny_sealed)

    deployment.deploy(folder / "heads", "topic", 2)  # which it wants to tell of
    with httpx.Client(base_url=url) as client:
        eventually(lambda: client.post(PREDICT, json={"text": "a"}).json()["model"]["version"] == 2)
        deployment.rollback(folder / "heads", "topic")
        eventually(lambda: client.post(PREDICT, json={"text": "a"}).json()["model"]["version"] == 1)


@pytest.mark.full
def test_a_second_ctrl_c_stops_immediately_and_reports_lost_requests(
    folder: Path, started: Callable[..., Running]
) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    door = started(_file(folder, "hurried.yaml", limits={"seconds": 60}), "--port", str(port))
    assert f"http://127.0.0.1:{port}/docs shows how to call it." in door.process.stdout.readline()
    lines = ("Host: localhost", "Content-Type: application/json", "Content-Length: 9", "", "")
    with socket.create_connection(("127.0.0.1", port)) as asking:
        asking.sendall("\r\n".join((f"POST {PREDICT} HTTP/1.1", *lines)).encode())
        eventually(lambda: "in_progress 1.0" in httpx.get(f"http://127.0.0.1:{port}/metrics").text)
        door.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            door.process.wait(1)
        code, output = door.end(signal.SIGINT)

    assert (code, output) == (0, "Stopped; requests in progress were not answered.\n")


def test_a_mistake_is_answered_in_one_sentence(rawless: Rawless, folder: Path, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        for arguments, says in (
            ((tmp_path / "none.yaml",), "none.yaml"),
            ((_file(folder, "a.yaml"), "--port", port), f"127.0.0.1:{port} cannot be bound"),
            ((_file(folder, "a.yaml"), "--host", "0.0.0.0"), "list its callers under access"),
            ((_file(folder, "a.yaml"), "--role", "encoder"), "needs tokens: add them under access"),
            ((_file(folder, "b.yaml", heads={"nix": {"stream": "message.yaml"}}),), "rawless head deploy nix"),
            ((_file(folder, "c.yaml", heads={"topic": {"stream": "no.yaml"}}),), "no.yaml"),
        ):
            outcome = rawless("serve", *arguments)

            assert outcome.code == 2
            assert outcome.err.startswith("Error: ")
            assert says in outcome.err
            assert len(outcome.err.splitlines()) == 1


def test_a_service_creates_nothing_in_a_warehouse(
    rawless: Rawless, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its account may not, and in the deployment the attempt would look like an attack."""
    datasets = {role: role for role in ("events", "snapshots", "subjects", "builds", "audit")}
    (tmp_path / "warehouse.yaml").write_text(yaml.safe_dump({"project": "a-project", **datasets}))
    file = _file(folder, "logged.yaml", heads={"topic": {"stream": "message.yaml", "log": True}})
    with fake_google() as google:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials_file(google, tmp_path)))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", google.url)

        outcome = rawless("serve", file, "--port", "0", "--warehouse", tmp_path / "warehouse.yaml")

        assert outcome.code == 2
        assert "BigQuery refused to show a table that is needed" in outcome.err
        assert {request.split()[0] for request in google.requests if "/token" not in request} == {"GET"}


def test_a_head_is_deployed_and_rolled_back_by_name(rawless: Rawless, home: Path, tmp_path: Path) -> None:
    from rawless.connect import LOCAL_CONFIG
    from rawless.heads import registry
    from rawless.local.stack import up
    from rawless.warehouse.client import Warehouse

    warehouse = Warehouse(LOCAL_CONFIG, up(home).bigquery)
    warehouse.ensure()
    other = lookup("resnet18-seeded@1.0.0")
    for version, spec in enumerate((None, None, other), 1):
        registry.register(warehouse, write_head(home / "heads", "deployable", version, spec=spec))

    first = rawless("head", "deploy", "deployable@1")
    rawless("head", "deploy", "deployable@2")
    elsewhere = rawless("head", "deploy", "deployable@2", "--to", tmp_path, "--json").json
    back = rawless("head", "rollback", "deployable", "--json").json
    listed = {each["head"]: each["live"] for each in rawless("head", "list", "--json").json}
    refused = rawless("head", "rollback", "deployable")
    unknown = rawless("head", "deploy", "nothing")
    beside = rawless("head", "deploy", "deployable@3")
    both = {each["head"]: each["live"] for each in rawless("head", "list", "--json").json}
    ambiguous = rawless("head", "rollback", "deployable")

    assert first.out == f"deployable@1 is live in {home / 'heads'}.\n"
    assert (elsewhere["version"], back["version"]) == (2, 1)
    assert list(deployment.live_by_space(tmp_path, "deployable").values()) == [2]
    assert (listed["deployable@1"], listed["deployable@2"]) == (True, False)
    assert (refused.code, unknown.code) == (2, 2)
    assert "cannot be rolled back" in refused.err
    assert beside.out == (
        f"deployable@3 is live in {home / 'heads'} for resnet18-seeded@1.0.0, beside deployable@1 for minilm@1.0.0.\n"
    )
    assert (both["deployable@1"], both["deployable@2"], both["deployable@3"]) == (True, False, True)
    assert "name the encoder of one of them by --encoder" in ambiguous.err


def test_the_callers_in_a_file_are_listed_with_their_ids(rawless: Rawless, folder: Path, tmp_path: Path) -> None:
    """Also those of a file whose streams have moved, for rows that were logged long ago."""
    web = {"name": "web", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "scopes": ["predict"]}
    google = {"audience": "https://a.example", "accounts": {"shop@p.iam.gserviceaccount.com": ["predict"]}}
    path = _file(folder, "callers.yaml", access={"tokens": [web], "google": google})
    former = tmp_path / "former.yaml"
    former.write_bytes(path.read_bytes())

    listed, again = rawless("callers", path, "--json").json["callers"], rawless("callers", former, "--json").json

    assert [(each["name"], each["kind"]) for each in listed] == [
        ("web", "token"), ("shop@p.iam.gserviceaccount.com", "google"),
    ]  # fmt: skip
    assert again["callers"] == listed
    refused = rawless("callers", _file(folder, "open.yaml"))
    assert (refused.code, "has no access" in refused.err) == (2, True)


def test_a_service_whose_rows_name_their_callers_needs_the_pseudonym_key(
    rawless: Rawless, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where it stores no subject."""
    stream = TEXT_STREAM | {"encoders": yaml.safe_load((folder / "message.yaml").read_text())["encoders"]}
    (folder / "nobody.yaml").write_text(yaml.safe_dump(stream | {"subject": "none"}))
    web = {"name": "web", "sha256": "0" * 64, "scopes": ["predict"]}
    heads = {"topic": {"stream": "nobody.yaml", "log": True}}
    monkeypatch.setenv("RAWLESS_PSEUDONYM_KEY", "too-short")

    done = rawless("serve", _file(folder, "named.yaml", heads=heads, access={"tokens": [web]}), "--port", "0")

    assert (done.code, "RAWLESS_PSEUDONYM_KEY must contain" in done.err) == (2, True)
