"""Downloading weights from torchvision and object storage; an incomplete or changed file is never kept."""

import gc
import hashlib
import http.client
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from google.api_core.retry import retry_base, retry_unary
from safetensors.torch import save
from torchvision.models import ResNet18_Weights

from encoders import weights
from encoders.encoder import Encoded
from encoders.families.torchvision_image import TorchvisionSpec
from encoders.load import load
from encoders.seal import seal
from rawless.errors import RawlessError, Unavailable, UserError
from rawless.privacy import Raw

pytestmark = [
    pytest.mark.usefixtures("no_weights_here"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # of refused answers, by the storage client
]
MakeSpec = Callable[..., TorchvisionSpec]
SOURCE, FILE = "torchvision:ResNet18_Weights.IMAGENET1K_V1", "resnet18-f37072fd.pth"
CONTENT = b"not weights, but whole " * 1000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def message_of(caught: pytest.ExceptionInfo[RawlessError]) -> str:
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600
    return str(caught.value)


def kept(folder: Path) -> list[str]:
    """Return the names of all files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


class Clock(threading.local):
    """A clock for the retries of Google's clients, which advances only by sleeping, for each thread."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Store:
    """An object store with the API that Google's client uses, which can fail in several ways."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fault: str | int | None = None
        """A status code, `half` for an interrupted answer, `half once`, or `bad checksum`."""
        self.requested: list[str] = []
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                store.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        if path.startswith("/storage/"):  # the client also requests the bucket, in another thread
            return self._send(request, 403, b"")
        bucket, _, name = path.removeprefix("/download/storage/v1/b/").partition("/o/")
        self.requested.append(f"{bucket}/{name}")
        content = self.objects.get(self.requested[-1])
        if isinstance(self.fault, int) or content is None:
            return self._send(request, self.fault if isinstance(self.fault, int) else 404, b"")
        return self._send(request, 200, content)

    def _send(self, request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        request.send_response(206 if start else status)
        request.send_header("Content-Length", str(len(content) - start))
        if self.fault == "bad checksum":
            request.send_header("X-Goog-Hash", "crc32c=AAAAAA==,md5=AAAAAAAAAAAAAAAAAAAAAA==")
        request.end_headers()
        if content and str(self.fault).startswith("half"):
            self.fault = None if self.fault == "half once" else self.fault
            request.wfile.write(content[start : len(content) // 2])
            request.close_connection = True
        else:
            request.wfile.write(content[start:])

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the retries of Google's clients."""
    clock = Clock()
    monkeypatch.setattr(retry_base, "time", clock)
    monkeypatch.setattr(retry_unary, "time", clock)
    return clock


@pytest.fixture
def store(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store that Google's storage client is configured to use."""
    store = Store()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", store.url)
    yield store
    for each in threading.enumerate():
        if "_fetch_background" in each.name:
            each.join(10)
    store.stop()
    gc.collect()


@pytest.fixture
def object_spec(image_spec: MakeSpec) -> Callable[..., TorchvisionSpec]:
    """Makes specs whose weights are an object with the given content."""

    def make(content: bytes = CONTENT, source: str = "gs://bucket/some/folder") -> TorchvisionSpec:
        return image_spec(weights={"source": source, "files": {"model.safetensors": sha256(content)}})

    return make


OBJECT = "bucket/some/folder/model.safetensors"


def test_no_weights_are_read_from_an_emulator_on_another_machine(
    object_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://storage.example:9023")
    with pytest.raises(UserError, match=r"STORAGE_EMULATOR_HOST is .* must name an emulator on this machine"):
        weights.find(object_spec())


def test_an_object_is_downloaded_once(object_spec: MakeSpec, store: Store) -> None:
    store.objects[OBJECT] = CONTENT
    folder = weights.find(object_spec())
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert weights.find(object_spec()) == folder
    assert store.requested == [OBJECT]
    assert kept(folder) == ["model.safetensors"]


def test_a_downloaded_object_is_found_while_the_store_is_unavailable(object_spec: MakeSpec, store: Store) -> None:
    store.objects[OBJECT] = CONTENT
    folder = weights.find(object_spec())
    store.fault = 503
    assert weights.find(object_spec()) == folder


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("gs://bucket", "bucket/model.safetensors"),
        ("gs://bucket/", "bucket/model.safetensors"),
        ("gs://bucket/folder", "bucket/folder/model.safetensors"),
        ("gs://bucket/a b/ü/", "bucket/a b/ü/model.safetensors"),
    ],
)
def test_the_object_is_read_below_the_named_prefix(
    object_spec: MakeSpec, store: Store, source: str, expected: str
) -> None:
    store.objects[expected] = CONTENT
    weights.find(object_spec(source=source))
    assert store.requested == [expected]


def test_the_folder_of_rawless_weights_comes_before_the_store(
    object_spec: MakeSpec, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine" / "bucket" / "some" / "folder"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(CONTENT)
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path / "mine"))
    assert weights.find(object_spec()) == folder
    assert store.requested == []


def test_two_versions_of_an_object_have_different_cache_folders(object_spec: MakeSpec, store: Store) -> None:
    folders = []
    for content in (b"first", b"second"):
        store.objects[OBJECT] = content
        folders.append(weights.find(object_spec(content)))
    assert [(folder / "model.safetensors").read_bytes() for folder in folders] == [b"first", b"second"]


def test_an_object_of_another_digest_is_refused(object_spec: MakeSpec, store: Store) -> None:
    store.objects[OBJECT] = b"swapped"
    with pytest.raises(UserError) as caught:
        weights.find(object_spec())
    for each in ("small@1.0.0", sha256(b"swapped")[:12], sha256(CONTENT)[:12]):
        assert each in message_of(caught)


def test_a_refused_object_is_not_cached_so_a_corrected_one_is_downloaded(
    object_spec: MakeSpec, store: Store, tmp_path: Path
) -> None:
    store.objects[OBJECT] = b"swapped"
    with pytest.raises(UserError):
        weights.find(object_spec())
    assert kept(tmp_path) == []
    store.objects[OBJECT] = CONTENT
    assert (weights.find(object_spec()) / "model.safetensors").read_bytes() == CONTENT


def test_a_missing_object_is_a_user_error(object_spec: MakeSpec, store: Store, tmp_path: Path) -> None:
    store.objects["bucket/other/model.safetensors"] = CONTENT
    with pytest.raises(UserError, match=r"gs://bucket/some/folder does not have the files of small@1\.0\.0") as caught:
        weights.find(object_spec())
    assert message_of(caught)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("fault", [500, 503, 429, 403, 401, "half", "bad checksum", "refused"], ids=str)
def test_a_failed_download_is_reported_in_one_sentence_and_leaves_no_file(
    object_spec: MakeSpec, store: Store, tmp_path: Path, fault: str | int
) -> None:
    store.objects[OBJECT] = CONTENT
    store.fault = fault
    if fault == "refused":
        store.stop()
    with pytest.raises(RawlessError, match="gs://bucket/some/folder") as caught:
        weights.find(object_spec())
    assert message_of(caught)
    assert kept(tmp_path) == []
    if fault not in (401, 403):
        assert isinstance(caught.value, Unavailable)


@pytest.mark.parametrize("fault", [500, "half", "refused"], ids=str)
def test_requests_to_an_unavailable_store_end_within_a_minute(
    object_spec: MakeSpec, store: Store, clock: Clock, fault: str | int
) -> None:
    store.objects[OBJECT] = CONTENT
    store.fault = fault
    if fault == "refused":
        store.stop()
    with pytest.raises(Unavailable):
        weights.find(object_spec())
    assert 1 < clock.now <= 60


def test_an_interrupted_download_is_resumed(object_spec: MakeSpec, store: Store) -> None:
    store.objects[OBJECT] = CONTENT
    store.fault = "half once"
    assert (weights.find(object_spec()) / "model.safetensors").read_bytes() == CONTENT
    assert store.requested == [OBJECT, OBJECT]


def test_a_failed_download_is_retried_by_the_next_call(object_spec: MakeSpec, store: Store) -> None:
    store.objects[OBJECT] = CONTENT
    store.fault = "half"
    with pytest.raises(Unavailable):
        weights.find(object_spec())
    store.fault = None
    assert (weights.find(object_spec()) / "model.safetensors").read_bytes() == CONTENT


def test_missing_credentials_are_reported_in_one_sentence(
    object_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": str(tmp_path / "none")}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RawlessError, match="DefaultCredentialsError") as caught:
        weights.find(object_spec())
    assert message_of(caught)


def test_an_encoder_whose_weights_are_an_object_is_sealed_and_encodes_as_one_from_a_folder(
    image_sealed: TorchvisionSpec, plain_resnet: Callable[[str], Any], object_spec: MakeSpec, store: Store
) -> None:
    store.objects[OBJECT] = save(plain_resnet("resnet18").state_dict())
    sealed = seal(object_spec(store.objects[OBJECT]))
    content = Raw(sealed.content_of(sealed.probe_input))
    (fetched,), (local,) = load(sealed, "cpu").encode([content]), load(image_sealed, "cpu").encode([content])
    assert store.requested == [OBJECT]
    assert isinstance(fetched, Encoded)
    assert isinstance(local, Encoded)
    assert np.array_equal(fetched.vector, local.vector)


@pytest.fixture
def torchvision_spec(image_spec: MakeSpec) -> TorchvisionSpec:
    """A spec that names a checkpoint of torchvision, without its digest."""
    return image_spec(source=SOURCE, file=FILE)


def put(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(CONTENT)
    return folder


def test_torchvision_weights_are_found_in_rawless_weights_first(
    torchvision_spec: TorchvisionSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = put(tmp_path / "torch" / "hub" / "checkpoints")
    assert weights.find(torchvision_spec) == cached
    mine = put(tmp_path / "mine" / "torchvision")
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path / "mine"))
    assert weights.find(torchvision_spec) == mine


def test_torchvision_weights_are_found_in_the_configured_cache_of_torch(
    torchvision_spec: TorchvisionSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    torch.hub.set_dir(tmp_path / "elsewhere")
    folder = put(tmp_path / "elsewhere" / "checkpoints")
    assert weights.find(torchvision_spec) == folder


def test_missing_torchvision_weights_are_reported_with_all_searched_folders_and_the_fix(
    torchvision_spec: TorchvisionSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path / "mine"))
    with pytest.raises(UserError, match="not found") as caught:
        weights.find(torchvision_spec)
    folders = (str(tmp_path / "mine" / "torchvision"), str(tmp_path / "torch" / "hub" / "checkpoints"))
    for each in (*folders, "small@1.0.0", SOURCE, "RAWLESS_WEIGHTS", "RAWLESS_HUB=1"):
        assert each in message_of(caught)


@pytest.mark.parametrize("allowed", [None, "", "0", "true"])
def test_nothing_is_downloaded_from_torchvision_unless_it_is_allowed(
    torchvision_spec: TorchvisionSpec, monkeypatch: pytest.MonkeyPatch, allowed: str | None
) -> None:
    requested: list[str] = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, *args, **options: requested.append(url))
    if allowed is not None:
        monkeypatch.setenv("RAWLESS_HUB", allowed)
    with pytest.raises(UserError, match="not found"):
        weights.find(torchvision_spec)
    assert requested == []


FAULTS: dict[str, Callable[[], Exception]] = {
    "no such page": lambda: HTTPError("https://host", 404, "Not Found", http.client.HTTPMessage(), io.BytesIO()),
    "no such host": lambda: URLError("Name or service not known"),
    "too slow": TimeoutError,
    "cut off": ConnectionResetError,
    "cut off in a chunk": lambda: http.client.IncompleteRead(b"half"),
    "no HTTP": lambda: http.client.BadStatusLine("SSH-2.0"),
    "another digest than in its name": lambda: RuntimeError('invalid hash value (expected "f37072fd", got "00")'),
    "disk full": lambda: OSError(28, "No space left on device"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_url_of_torchvision_is_requested_and_its_errors_are_reported(
    torchvision_spec: TorchvisionSpec, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], Exception]
) -> None:
    requested: list[str] = []

    def download(url: str, path: str, **options: Any) -> None:
        requested.append(url)
        raise fault()

    monkeypatch.setenv("RAWLESS_HUB", "1")
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(Unavailable, match=FILE) as caught:
        weights.find(torchvision_spec)
    assert message_of(caught)
    assert requested == [ResNet18_Weights.IMAGENET1K_V1.url]


@pytest.fixture
def hub(store: Store, image_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> TorchvisionSpec:
    """A spec of a torchvision checkpoint that is in the store, named by its digest."""
    file = f"resnet18-{sha256(CONTENT)[:8]}.pth"
    store.objects[f"models/{file}"] = CONTENT
    url = f"{store.url}/download/storage/v1/b/models/o/{file}"
    monkeypatch.setenv("RAWLESS_HUB", "1")
    monkeypatch.setattr("torchvision.models.get_weight", lambda name: SimpleNamespace(url=url))
    return image_spec(source=SOURCE, file=file)


def test_torchvision_weights_are_downloaded_once_into_the_cache_of_torch(
    hub: TorchvisionSpec, store: Store, tmp_path: Path
) -> None:
    folder = weights.find(hub)
    assert folder == tmp_path / "torch" / "hub" / "checkpoints"
    assert (folder / hub.weights.file).read_bytes() == CONTENT
    assert weights.find(hub) == folder
    assert len(store.requested) == 1


@pytest.mark.parametrize("fault", ["half", 500, 404], ids=str)
def test_an_incomplete_download_from_torchvision_is_not_kept(
    hub: TorchvisionSpec, store: Store, tmp_path: Path, fault: str | int
) -> None:
    store.fault = fault
    with pytest.raises(Unavailable):
        weights.find(hub)
    assert kept(tmp_path) == []
    store.fault = None
    assert (weights.find(hub) / hub.weights.file).read_bytes() == CONTENT


def test_a_checkpoint_with_another_digest_than_in_its_name_is_not_kept(
    hub: TorchvisionSpec, store: Store, tmp_path: Path
) -> None:
    store.objects[f"models/{hub.weights.file}"] = b"swapped"
    with pytest.raises(RawlessError):
        weights.find(hub)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("source", "file", "named"),
    [
        ("torchvision:ResNet18_Weights.IMAGENET1K_V9", FILE, "torchvision does not have"),
        ("torchvision:RESNET18_Weights.IMAGENET1K_V1", FILE, "torchvision does not have"),
        ("torchvision:ResNet18_Weights.IMAGENET1K_V1", "resnet18.pth", f"is {FILE}"),
    ],
)
def test_weights_that_torchvision_does_not_have_are_a_user_error(
    image_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, source: str, file: str, named: str
) -> None:
    monkeypatch.setenv("RAWLESS_HUB", "1")
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *args, **options: pytest.fail("requested"))
    with pytest.raises(UserError, match=named) as caught:
        weights.find(image_spec(source=source, file=file))
    assert "correct the spec" in message_of(caught)
    assert source.partition(":")[2] in message_of(caught)


@pytest.mark.parametrize("kind", ["torchvision", "gs"])
def test_a_cache_that_cannot_be_written_is_reported_in_one_sentence(
    hub: TorchvisionSpec,
    object_spec: MakeSpec,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    store.objects[OBJECT] = CONTENT
    (tmp_path / "file").touch()
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "file"))
    with pytest.raises(RawlessError) as caught:
        weights.find(hub if kind == "torchvision" else object_spec())
    assert str(tmp_path / "file") in message_of(caught)
