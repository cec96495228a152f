"""Objects in a bucket that events name, read from a small Google Cloud Storage server in this process."""

import gzip
import logging
import random
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from rawless.errors import Unavailable
from rawless.events import cloud_objects, stored_objects
from rawless.events.cloud_objects import CloudObject, ObjectPattern, forget_client, list_objects
from rawless.events.object_requests import TransferFailed
from rawless.events.objects import ObjectLocation, locate
from rawless.events.stored_objects import read_object
from rawless.privacy import Reason, Rejected, guarded
from tests.object_server import Store, Stored

PREFIX = "gs://bucket/folder/"
MARKER = "Rosalind-0815"


@pytest.fixture
def impatient(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make retries give up immediately."""
    monkeypatch.setattr(cloud_objects, "RETRY_SECONDS", 0.1)


def read(name: str, limit: int = 1000) -> bytes | Reason:
    """Return the content of an object, or the reason, as the parse step sees it."""
    return guarded(lambda: read_object(locate(PREFIX + name, [PREFIX]), limit))


NAMES = [
    *(
        "a.png",
        "b/c/d.png",
        "with space",
        " ",
        "ä/日本/😀",
        "100%",
        "%20",
        "%2e%2e",
        "%2F",
        "a+b&c=d?e#f",
        "a:b@c",
        "~",
    ),
    *("*", "[a]", "{a}", "\\", "...", "'\"<>", "a;b", "x" * 900),
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_an_object_is_read_by_exactly_its_name(name: str, store: Store) -> None:
    store.objects[f"bucket/folder/{name}"] = Stored(b"content")
    assert read(name) == b"content"


def test_a_missing_object_is_not_found_and_requested_once(store: Store) -> None:
    store.objects["bucket/folder/ab"] = Stored(b"content")
    for name in ("a", "a*", "abc", "AB", "ab%"):
        assert read(name) is Reason.OBJECT_NOT_FOUND
    assert len(store.asked) == 5


def test_an_object_that_is_deleted_before_it_is_read_is_not_found(store: Store) -> None:
    store.objects["bucket/folder/a"] = Stored(b"content", media_status=[404])
    assert read("a") is Reason.OBJECT_NOT_FOUND


def test_a_name_that_the_store_refuses_is_not_found(store: Store) -> None:
    store.objects["bucket/folder/a"] = Stored(media_status=[400])
    assert read("a") is Reason.OBJECT_NOT_FOUND


@pytest.mark.parametrize("name", ["../other/a", "./a", "b//a", "a/", "", "a\nb", "..", "x" * 2048])
def test_a_name_that_leads_elsewhere_is_never_requested(name: str, store: Store) -> None:
    assert read(name) is Reason.PAYLOAD_URI_FORBIDDEN
    assert store.asked == []


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 5000])
def test_at_most_one_byte_more_than_the_limit_is_returned(size: int, store: Store) -> None:
    content = random.Random(size).randbytes(size)
    store.objects["bucket/folder/a"] = Stored(content)
    assert read("a") == content[:1001]


@pytest.mark.parametrize("limit", [1000, 20 << 20])
def test_of_a_huge_object_no_more_than_the_limit_is_transferred(limit: int, store: Store) -> None:
    store.objects["bucket/folder/a"] = Stored(bytes(40 << 20))
    content = read("a", limit)
    assert len(content) == limit + 1
    assert store.sent == limit + 1
    assert len(store.asked) == 1


def test_a_store_that_sends_more_than_was_asked_for_is_cut_off(store: Store) -> None:
    """Cloud Storage ignores ranges where it inflates an object, which it may do for one that is compressed twice."""
    store.objects["bucket/folder/a"] = Stored(bytes(8 << 20), ignores_range=True)
    assert read("a") == bytes(1001)
    assert len(store.asked) == 1


def test_a_part_of_an_object_is_never_taken_from_elsewhere_in_it(store: Store) -> None:
    stored = store.put("a", b"0123456789", ignores_range=True)
    found = CloudObject("bucket", "a", stored.generation, 10)
    assert cloud_objects.read_object(found, "here", 0, 5) == b"01234"
    with pytest.raises(Unavailable):
        cloud_objects.read_object(found, "here", 5)


BOMB = gzip.compress(bytes(4 << 20))


@pytest.mark.parametrize("name", ["a.gz", "a.bz2", "a.zst", "a.deflate", "a.json.gz"])
def test_an_object_named_like_a_compressed_file_is_not_inflated(name: str, store: Store) -> None:
    store.objects[f"bucket/folder/{name}"] = Stored(BOMB, content_type="application/gzip")
    assert read(name, 10_000) == BOMB


@pytest.mark.parametrize(("limit", "expected"), [(10_000, BOMB), (1000, BOMB[:1001])], ids=["whole", "cut"])
def test_an_object_stored_as_compressed_is_not_inflated(limit: int, expected: bytes, store: Store) -> None:
    store.objects["bucket/folder/a"] = Stored(BOMB, encoding="gzip")
    assert read("a", limit) == expected


def test_an_object_compressed_twice_is_read_as_it_is_stored(store: Store) -> None:
    store.objects["bucket/folder/a"] = Stored(BOMB, encoding="gzip", content_type="application/gzip")
    assert read("a", 10_000) == BOMB


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_store_that_recovers_is_read(status: int, store: Store) -> None:
    store.objects["bucket/folder/a"] = Stored(b"content", media_status=[status, status, 200])
    assert read("a") == b"content"


def test_a_truncated_response_is_requested_again_and_never_taken_as_complete(store: Store) -> None:
    store.objects["bucket/folder/a"] = Stored(b"content" * 100, cut=2)
    assert read("a") == b"content" * 100


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "Forbidden"), (412, "PreconditionFailed"), (500, "RetryError"), (503, "RetryError")]
)
def test_a_store_that_denies_access_is_unavailable_and_no_object_is_rejected(
    status: int, kind: str, store: Store, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    store.objects[f"bucket/folder/{MARKER}"] = Stored(b"content", media_status=[status])
    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable) as raised:
        read(MARKER)
    assert str(raised.value) == f"{PREFIX}: an object cannot be read ({kind}); grant access, then run again."
    assert raised.value.__context__ is None
    assert MARKER not in caplog.text


def test_a_perimeter_that_blocks_every_read_is_named_with_what_to_do(store: Store) -> None:
    blocked = "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: 1a2b"
    store.objects[f"bucket/folder/{MARKER}"] = Stored(b"content", media_status=[403], refusal=blocked)

    with pytest.raises(Unavailable) as raised:
        read(MARKER)

    assert str(raised.value) == (
        f"{PREFIX}: an object cannot be read (Forbidden), because a service perimeter blocks it; name the bucket's "
        "project in claim_check_projects and apply terraform/bootstrap, then run again."
    )


@pytest.mark.parametrize("status", [403, 412])
def test_an_object_that_cannot_be_read_among_others_that_can_is_rejected(status: int, store: Store) -> None:
    store.objects[f"bucket/folder/{MARKER}/bad"] = Stored(b"content", media_status=[status])
    store.objects[f"bucket/folder/{MARKER}/"] = Stored()
    store.objects[f"bucket/folder/{MARKER}/good"] = Stored(b"content")
    assert read(f"{MARKER}/bad") is Reason.OBJECT_UNREADABLE
    assert read(f"{MARKER}/good") == b"content"


@pytest.mark.parametrize("change", ["list_status", "folder", "all"])
def test_without_another_object_that_can_be_read_access_is_missing_and_no_object_is_rejected(
    change: str, store: Store
) -> None:
    store.objects["bucket/folder/bad"] = Stored(b"content", media_status=[403])
    store.objects["bucket/other/good"] = Stored(b"content")
    store.objects["bucket/folder/good"] = Stored(b"content", media_status=[403 if change == "all" else 200])
    if change == "list_status":
        store.list_status = 403
    if change == "folder":
        del store.objects["bucket/folder/good"]
    with pytest.raises(Unavailable, match="Forbidden"):
        read("bad")


def test_a_store_that_cannot_be_reached_is_unavailable(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match=r"^gs://bucket/folder/: an object cannot be read \(") as raised:
        read(MARKER)
    assert MARKER not in str(raised.value)
    assert raised.value.__context__ is None


@pytest.mark.parametrize("variable", ["STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE"])
@pytest.mark.parametrize("address", ["http://192.0.2.1:9", "http://127.0.0.1@storage.example"])
def test_an_emulator_on_another_machine_stops_the_job(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    """Objects would be read from it, and credentials sent there, without encryption."""
    forget_client()
    monkeypatch.setenv(variable, address)
    with pytest.raises(Unavailable, match=f"^{variable} is .* must name an emulator on this machine") as raised:
        read(MARKER)
    assert MARKER not in str(raised.value)


def test_no_object_name_is_in_a_log_an_error_or_the_output(
    store: Store, impatient: None, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    statuses = {"there": [200], "gone": [404], "impossible": [400], "away": [500], "forbidden": [403], "busy": [429]}
    for name, status in statuses.items():
        store.objects[f"bucket/folder/{MARKER}/{name}"] = Stored(MARKER.encode(), media_status=status)
    outcomes: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for name in [*statuses, "none"]:
            try:
                outcomes.append(type(read(f"{MARKER}/{name}")).__name__)
            except Unavailable as unavailable:
                outcomes.append(str(unavailable))
    unavailable = f"{PREFIX}:"
    assert [outcome.split(" ")[0] for outcome in outcomes] == [
        *("bytes", "Reason", "Reason", unavailable, "Reason", unavailable, "Reason")
    ]
    assert len([path for path in store.asked if MARKER in path]) >= len(outcomes)
    assert MARKER not in repr(outcomes) + caplog.text + "".join(capfd.readouterr())
    assert caplog.records  # the log was captured


def test_nothing_but_the_object_is_requested(store: Store) -> None:
    store.objects["bucket/folder/a"] = Stored(b"content")
    before = set(threading.enumerate())
    assert read("a") == b"content"
    # Otherwise the client would request the bucket too, on its own thread, where no log is guarded.
    for thread in set(threading.enumerate()) - before:
        if "process_request" not in thread.name:  # the store's
            thread.join()
    assert [path for path in store.asked if "/o/folder" not in path] == []


def test_connections_are_used_again(store: Store) -> None:
    store.objects["bucket/folder/a"] = Stored(b"content")
    for _ in range(3):
        assert read("a") == b"content"
    assert store.connections == 1


def test_an_emulator_is_not_reached_through_a_proxy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    store.objects["bucket/folder/a"] = Stored(b"content")
    assert read("a") == b"content"
    assert [found.name for found in list_objects(ObjectPattern("bucket", "folder/*"), "here")] == ["folder/a"]


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """The address of a proxy that connects to nothing, and the first line of each request to it."""
    asked: list[str] = []

    class Refuse(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.requestline)
            self.send_error(HTTPStatus.FORBIDDEN)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_google_is_reached_through_the_proxy_of_the_environment(
    scheme: str, proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    address, asked = proxy
    monkeypatch.setenv("https_proxy", f"{scheme}{address}")
    with closing(cloud_objects._Store(Client.create_anonymous_client())) as google, pytest.raises(TransferFailed):
        google._get("bucket", "a", 0, 10, None)
    assert asked == ["CONNECT storage.googleapis.com:443 HTTP/1.1"]


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine that no authority signed, and its key, and return their files."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return files


def test_only_certificates_that_the_environment_names_are_trusted(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, key)
    store.socket = context.wrap_socket(store.socket, server_side=True)
    store.put("a", b"content")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("no_proxy", "localhost")
    address = {"api_endpoint": f"https://localhost:{store.server_port}"}
    anonymous = {"credentials": AnonymousCredentials(), "project": None, "client_options": address}

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    with closing(cloud_objects._Store(Client(**anonymous))) as google:
        assert google._get("bucket", "a", 0, 10, None) == b"content"
    folder = tmp_path / "authorities"
    folder.mkdir()
    for bundle in (certifi.where(), str(folder)):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
        with (
            closing(cloud_objects._Store(Client(**anonymous))) as google,
            pytest.raises(TransferFailed, match=r"^curl error 60$"),  # at once: it is of no use to try again
        ):
            google.get("bucket", "a", 0, 10, None)


def test_a_store_that_is_not_there_is_named_by_libcurls_error(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    forget_client()
    with pytest.raises(Unavailable) as raised:
        read("a")
    assert str(raised.value) == (
        f"{PREFIX}: an object cannot be read (curl error 7); check the connection to the store, then run again."
    )


def test_a_proxy_is_not_asked_for_tokens_of_this_machine(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would get no answer, or the token of the proxy's own account."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    with closing(cloud_objects._Store(Client.create_anonymous_client())) as google:
        assert google._token_request(url=f"{store.address}/token").status == 404  # the store stands for the server
    assert store.asked == ["/token"]


def test_a_token_that_was_revoked_is_replaced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.objects["bucket/folder/a"] = Stored(b"content", media_status=[401, 200])
    refreshed: list[object] = []
    monkeypatch.setattr(AnonymousCredentials, "refresh", lambda credentials, request: refreshed.append(request))
    assert read("a") == b"content"
    assert len(refreshed) == 1
    assert len(store.asked) == 2


def test_a_local_object_is_read_without_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_objects, "read_file", lambda location, limit: repr((location.parts, limit)).encode())
    assert read_object(ObjectLocation("file", "/uploads/", ("a",)), 5) == b"(('a',), 5)"


def test_a_rejection_is_raised_without_a_cause(store: Store) -> None:
    with pytest.raises(Rejected) as raised:
        read_object(ObjectLocation("gs", "bucket/folder/", (MARKER,)), 5)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
