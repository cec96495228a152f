"""Services over real HTTP, each in its own thread, with real encoders and heads with random weights."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
import yaml
from PIL import Image

from encoders.catalogue import lookup
from encoders.encoder import Encoded, Encoder
from encoders.load import load
from encoders.spec import EncoderSpec, Vector
from rawless.heads import deployment
from rawless.heads.artefact import HeadManifest
from rawless.privacy import Raw
from rawless.privacy.pseudonyms import PseudonymKey
from rawless.serving.app import AppFactory, Dependencies, Role
from rawless.serving.config import load_config
from rawless.serving.connection import LimitedHttpProtocol
from rawless.serving.server import bind_socket, socket_url
from rawless.warehouse.client import Warehouse
from tests.drawn_heads import write_head

TEXT_STREAM = {
    "stream": "message",
    "modality": "text",
    "encoders": ["minilm@1.0.0"],
    "event_id": {"pattern": "msg-\\d{4}"},
    "attributes": {"channel": {"enum": ["chat", "email"]}, "app": {"pattern": "\\d+\\.\\d+", "max_length": 8}},
    "limits": {"max_bytes": 2000},
}
IMAGE_STREAM = {
    "stream": "upload",
    "modality": "image",
    "encoders": ["resnet18-seeded@1.0.0"],
    "event_id": {"pattern": "msg-\\d{4}"},
    "subject": "none",
    "limits": {"formats": ["png", "jpeg"], "max_pixels": 10_000, "max_bytes": 20_000},
}

PSEUDONYM_KEY = PseudonymKey(b"k" * 32)
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients without TLS, which would each read all certificate authorities otherwise."""


@dataclass
class Bench:
    """A folder with streams, heads and service files, and the services that run from it."""

    folder: Path
    running: ExitStack
    messages: list[str] = field(default_factory=list)
    """Messages to the operator."""
    spec: EncoderSpec | None = None
    """The encoder of texts, instead of MiniLM."""
    towers: tuple[EncoderSpec, ...] = ()
    """Encoders that a service file can name as arms."""

    @property
    def heads(self) -> Path:
        return self.folder / "heads"

    def deploy(self, name: str, version: int = 1, **options: Any) -> HeadManifest:
        """Write a head with random weights, and deploy it."""
        new_layout = options.pop("new_layout", False)
        manifest = write_head(self.heads, name, version, **{"spec": self.spec} | options)
        deployment.deploy(self.heads, name, version, new_layout=new_layout)
        return manifest

    def file(self, heads: Mapping[str, Any], **fields: Any) -> Path:
        """Write a service file. The default stream of a head is the text stream."""
        text_stream = TEXT_STREAM | {"encoders": [self.spec.ref]} if self.spec else TEXT_STREAM
        for stream in (text_stream, IMAGE_STREAM):
            (self.folder / f"{stream['stream']}.yaml").write_text(yaml.safe_dump(stream))
        heads = {name: {"stream": "message.yaml"} | head for name, head in heads.items()}
        path = self.folder / "serve.yaml"
        path.write_text(yaml.safe_dump({"heads": heads, "limits": {"watch_seconds": 0.05}} | fields))
        return path

    def dependencies(self, warehouse: Warehouse | None = None) -> Dependencies:
        specs = {ref: lookup(ref) for ref in ("minilm@1.0.0", "resnet18-seeded@1.0.0")}
        if self.spec:
            specs[self.spec.ref] = self.spec
        specs |= {tower.ref: tower for tower in self.towers}
        return Dependencies(specs, self.heads, warehouse, PSEUDONYM_KEY, "cpu", self.messages.append)

    def start(
        self, heads: Mapping[str, Any], role: Role = "all", warehouse: Warehouse | None = None, **fields: Any
    ) -> httpx.Client:
        """Start a service and return a client of it."""
        config, served = load_config(self.file(heads, **fields))
        app = AppFactory(config, served, self.dependencies(warehouse)).create_app(role, "127.0.0.1")
        return self.running.enter_context(run_app(app))


@contextmanager
def run_app(app: Any) -> Iterator[httpx.Client]:
    """Serve an app at a free port, and yield a client of it."""
    with bind_socket("127.0.0.1", 0) as bound:
        bound.listen()  # so that clients that connect before the server is up wait for it
        server = uvicorn.Server(
            uvicorn.Config(app, http=LimitedHttpProtocol, log_config=None, access_log=False, ws="none")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        with httpx.Client(base_url=socket_url(bound), timeout=60, verify=NO_AUTHORITIES) as client:
            yield client
        server.should_exit = True
        thread.join()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty folder to serve from. Its services are stopped at the end."""
    with ExitStack() as running:
        (tmp_path / "heads").mkdir()
        yield Bench(tmp_path, running)


@pytest.fixture
def tiny_bench(bench: Bench, tiny_sealed: EncoderSpec) -> Bench:
    """A bench whose encoder of texts is the tiny one."""
    return replace(bench, spec=tiny_sealed)


@pytest.fixture(scope="session")
def resnet() -> Encoder:
    """A real ResNet-18 with seeded random weights."""
    return load(lookup("resnet18-seeded@1.0.0"), "cpu")


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small PNG."""
    path = tmp_path_factory.mktemp("images") / "image.png"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path.read_bytes()


def vector_of(encoder: Encoder, content: bytes) -> Vector:
    """Return the vector of a content, encoded without a service."""
    (outcome,) = encoder.encode([Raw(content)])
    assert isinstance(outcome, Encoded)
    return outcome.vector


def eventually(is_true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a condition is true."""
    waiting = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if is_true():
            return
        waiting.wait(0.02)
    raise AssertionError("the condition never became true")
