"""What programs can reach through the ports of the local servers: nothing without the token, and no file with it."""

import io
import pickle
import socket
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from google.api_core.exceptions import GoogleAPICallError, Unauthenticated
from google.cloud import bigquery

from encoders.catalogue import lookup
from rawless.connect import PUBSUB_VARIABLE, open_pubsub
from rawless.errors import RawlessError, Unavailable, UserError
from rawless.events.pubsub import PubSub
from rawless.files import write_text
from rawless.local.stack import Stack
from rawless.privacy.pseudonyms import create_key_file
from rawless.warehouse.append import StorageWriter
from rawless.warehouse.client import EMULATOR_VARIABLE, Warehouse
from rawless.warehouse.read import read
from rawless.warehouse.rows import EncoderRow


@pytest.fixture(scope="session")
def key_file(home: Path) -> Path:
    """The pseudonym key of the session's local stack."""
    create_key_file(home / "pseudonym.key")
    return home / "pseudonym.key"


READS = [
    "SELECT content FROM read_text('{key}')",
    "SELECT content FROM read_blob('{key}')",
    "SELECT * FROM read_csv('{key}', header => false)",
    "SELECT * FROM '{key}'",
    "SELECT * FROM `{key}`",
    "SELECT file FROM glob('{home}/*')",
    "SELECT file FROM glob('{home}/bigquery/uploads/../../*')",
    "SELECT * FROM query('SELECT content FROM read_text(''{key}'')')",
    "CREATE TABLE {events}.taken AS SELECT content FROM read_text('{key}')",
    "CREATE VIEW {events}.taken AS SELECT content FROM read_text('{key}')",
    "COPY {events}.taken FROM '{key}'",
    "SELECT CAST('POINT (1 2)' AS GEOGRAPHY)",  # the emulator would download an extension
    "SELECT * FROM st_read('{home}/bigquery/uploads/planted.vrt')",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "LOAD spatial",
    "INSTALL httpfs",
    "LOAD httpfs",
]
WRITES = [
    "COPY (SELECT 1 AS x) TO '{file}'",
    "COPY (SELECT 1 AS x) TO '{home}/bigquery/uploads/../../{name}'",
    "EXPORT DATABASE '{file}'",
    "EXPORT DATA OPTIONS (uri = 'gs:/{file}', format = 'CSV') AS SELECT 1 AS x",
    "ATTACH '{file}' AS other",
    "ATTACH DATABASE '{file}'",
    "PRAGMA profiling_output = '{file}'",
    "CREATE PERSISTENT SECRET {name} (TYPE http, BEARER_TOKEN 'x')",
]


@pytest.mark.parametrize("statement", READS)
def test_a_query_reads_no_file(warehouse: Warehouse, home: Path, key_file: Path, statement: str) -> None:
    write_text(
        home / "bigquery" / "uploads" / "planted.vrt",
        f'<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>CSV:{key_file}</SrcDataSource></OGRVRTLayer>'
        "</OGRVRTDataSource>",
    )

    with pytest.raises(UserError) as refused:
        warehouse.query(statement.format(key=key_file, home=home, events=warehouse.config.events))

    assert key_file.read_text().strip() not in str(refused.value)


@pytest.mark.parametrize("statement", WRITES)
def test_a_query_writes_no_file(warehouse: Warehouse, home: Path, statement: str) -> None:
    file = home / "written"

    with pytest.raises(UserError):
        warehouse.query(statement.format(file=file, home=home, name=file.name))

    assert not file.exists()


@pytest.mark.parametrize("kind", ["CSV", "NEWLINE_DELIMITED_JSON", "PARQUET", "AVRO", "ORC"])
def test_a_load_job_reads_no_file_but_its_upload(warehouse: Warehouse, key_file: Path, kind: str) -> None:
    config = bigquery.LoadJobConfig(source_format=kind, autodetect=True)
    target = f"{warehouse.dataset_id('events')}.taken"

    with pytest.raises(GoogleAPICallError, match="file of an upload"):
        warehouse.client.load_table_from_uri(f"file://{key_file}", target, job_config=config).result()


def test_an_extract_job_writes_no_file(warehouse: Warehouse, home: Path) -> None:
    table = f"{warehouse.dataset_id('events')}.encoder_v1"

    with pytest.raises(GoogleAPICallError, match="file of an upload"):
        warehouse.client.extract_table(table, f"file://{home}/extracted").result()

    assert not (home / "extracted").exists()


def test_a_restriction_of_a_read_session_reads_no_file(warehouse: Warehouse, key_file: Path) -> None:
    with pytest.raises(RawlessError):
        list(
            read(
                warehouse,
                warehouse.table_id("encoder_v1"),
                ["name"],
                f"(SELECT COUNT(*) FROM read_text('{key_file}')) = 1",
            )
        )


@pytest.mark.parametrize("kind", ["PARQUET", "CSV", "NEWLINE_DELIMITED_JSON"])
def test_an_upload_is_loaded(warehouse: Warehouse, kind: str) -> None:
    target = bigquery.Table(
        f"{warehouse.dataset_id('events')}.loaded", schema=[bigquery.SchemaField("number", "INTEGER")]
    )
    content = io.BytesIO({"CSV": b"number\n7\n", "NEWLINE_DELIMITED_JSON": b'{"number": 7}\n'}.get(kind, b""))
    if kind == "PARQUET":
        pyarrow.parquet.write_table(pa.table({"number": [7]}), content)
    config = bigquery.LoadJobConfig(source_format=kind, schema=target.schema)

    warehouse.client.create_table(target)
    warehouse.client.load_table_from_file(content, target.reference, rewind=True, job_config=config).result()

    assert warehouse.query("SELECT number FROM loaded") == [{"number": 7}]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"Host": "attacker.example"}, 403),
        ({"Host": "attacker.example:{port}"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 403),
        ({"Origin": "null"}, 403),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer guessed"}, 401),
        ({"Authorization": "{token}"}, 401),
        ({"Authorization": ""}, 401),
    ],
)
@pytest.mark.parametrize("path", ["/bigquery/v2/projects/local-dev/datasets", "/healthz"])
def test_requests_of_web_pages_and_without_the_token_are_refused(
    stack: Stack, path: str, headers: dict[str, str], expected: int
) -> None:
    """A page is known by its origin, or by its host where the page's name was made to resolve to this machine."""
    request = urllib.request.Request(f"{stack.bigquery.rest}{path}")
    port = stack.bigquery.rest.rpartition(":")[2]
    for name, value in ({"Authorization": "Bearer {token}"} | headers).items():
        request.add_header(name, value.format(port=port, token=stack.token))

    assert _status(request) == expected


def _status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("token", ["", "guessed"])
def test_calls_without_the_token_are_refused(warehouse: Warehouse, stack: Stack, token: str) -> None:
    stranger = replace(warehouse, emulator=replace(stack.bigquery, token=token), retry_seconds=0.1)
    pubsub = PubSub(stack.pubsub, token)
    topic, subscription = "projects/local-dev/topics/closed", "projects/local-dev/subscriptions/closed"
    spec = lookup("minilm@1.0.0")
    encoder = EncoderRow(spec.name, spec.version, spec.fingerprint, "{}", True, datetime.now(UTC))

    with pytest.raises(RawlessError, match="Unauthenticated"):
        StorageWriter(stranger).append([encoder])
    with pytest.raises(RawlessError, match="Unauthenticated"):
        list(read(stranger, stranger.table_id("encoder_v1"), ["name"], ""))
    with pubsub.publisher() as publisher, pytest.raises(Unauthenticated):
        publisher.create_topic(name=topic)
    with pubsub.subscriber() as subscriber, pytest.raises(Unauthenticated):
        list(subscriber.streaming_pull(iter([{"subscription": subscription, "stream_ack_deadline_seconds": 10}])))
    assert list(read(warehouse, warehouse.table_id("encoder_v1"), ["name"], "")) == []


def test_the_token_is_sent_to_the_local_pubsub_only(stack: Stack, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PUBSUB_VARIABLE, stack.pubsub)
    assert open_pubsub() == PubSub(stack.pubsub, stack.token)

    monkeypatch.setenv(PUBSUB_VARIABLE, "127.0.0.1:9")
    assert open_pubsub() == PubSub("127.0.0.1:9", "")


@pytest.mark.parametrize(
    "address", ["pubsub.example:8085", "10.0.0.7:8085", "127.0.0.1.evil.example:1", "[::2]:1", "["]
)
def test_a_pubsub_emulator_on_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Messages, which contain content, would be sent to it in plain text."""
    monkeypatch.setenv(PUBSUB_VARIABLE, address)

    with pytest.raises(UserError, match=r"PUBSUB_EMULATOR_HOST is .* must name an emulator on this machine"):
        open_pubsub()
    monkeypatch.setenv(PUBSUB_VARIABLE, "[::1]:9")
    assert open_pubsub(Path("unread.yaml")).emulator == "[::1]:9"


def test_the_log_of_the_local_servers_quotes_no_value(warehouse: Warehouse, home: Path) -> None:
    """Libraries log the exceptions that they do not expect, as for a date that Python does not have."""
    impatient = replace(warehouse, retry_seconds=0.1)

    with pytest.raises(Unavailable):
        impatient.query("SELECT DATE '3000000-01-01' AS day")

    log = (home / "local.log").read_text()
    assert "withheld" in log
    assert "days=" not in log  # as in the exception


def test_no_proxy_receives_what_is_sent_to_the_local_servers(
    warehouse: Warehouse, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would read the token, the rows and the messages, since nothing is encrypted on this machine."""
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))  # and does not listen, so that a client that wants to use it fails
        for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        direct = replace(warehouse, retry_seconds=0.1)
        spec = lookup("minilm@1.0.0")
        encoder = EncoderRow(spec.name, spec.version, spec.fingerprint, "{}", True, datetime.now(UTC))

        assert StorageWriter(direct).append([encoder]) == []
        assert len(list(read(direct, direct.table_id("encoder_v1"), ["name"], ""))) == 1
        assert direct.query("SELECT name FROM encoder_v1") == [{"name": spec.name}]
        with PubSub(stack.pubsub, stack.token).publisher() as publisher:
            publisher.create_topic(name="projects/local-dev/topics/direct", retry=None)
        monkeypatch.setenv(EMULATOR_VARIABLE, stack.bigquery.rest)
        with pytest.raises(Unavailable, match="InvalidOperation"):  # the server itself refuses: there is no new token
            replace(direct, emulator=None).query("SELECT 1")


def test_a_password_in_netrc_does_not_replace_the_token(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))

    assert replace(warehouse).query("SELECT 1 AS one") == [{"one": 1}]


def test_the_token_travels_in_jobs_but_is_not_printed(warehouse: Warehouse, stack: Stack) -> None:
    pubsub = PubSub(stack.pubsub, stack.token)

    assert pickle.loads(pickle.dumps(pubsub)) == pubsub
    assert pickle.loads(pickle.dumps(warehouse)).query("SELECT 1 AS one") == [{"one": 1}]
    assert stack.token not in f"{stack!r} {stack} {pubsub!r} {warehouse!r} {warehouse.emulator}"
