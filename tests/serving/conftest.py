"""Services over real HTTP, in a thread of their own, with heads drawn from a seed and the real encoders."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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
from encoders.spec import Vector
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
    "subject": "none",
    "limits": {"formats": ["png", "jpeg"], "max_pixels": 10_000, "max_bytes": 20_000},
}


@dataclass
class Bench:
    """A folder with streams, heads and service files, and what runs of them."""

    folder: Path
    running: ExitStack
    said: list[str] = field(default_factory=list)

    @property
    def heads(self) -> Path:
        return self.folder / "heads"

    def deploy(self, name: str, version: int = 1, **told: Any) -> HeadManifest:
        """A head drawn from its name and version, made live."""
        new_layout = told.pop("new_layout", False)
        made = write_head(self.heads, name, version, **told)
        deployment.deploy(self.heads, name, version, new_layout=new_layout)
        return made

    def file(self, heads: Mapping[str, Any], **fields: Any) -> Path:
        """A service file; a head without a stream is one of texts."""
        for stream in (TEXT_STREAM, IMAGE_STREAM):
            (self.folder / f"{stream['stream']}.yaml").write_text(yaml.safe_dump(stream))
        whole = {name: {"stream": "message.yaml"} | told for name, told in heads.items()}
        path = self.folder / "serve.yaml"
        path.write_text(yaml.safe_dump({"heads": whole, "limits": {"watch_seconds": 0.05}} | fields))
        return path

    def dependencies(self, warehouse: Warehouse | None = None) -> Dependencies:
        specs = {ref: lookup(ref) for ref in ("minilm@1.0.0", "resnet18-seeded@1.0.0")}
        return Dependencies(specs, self.heads, warehouse, PseudonymKey(b"k" * 32), "cpu", self.said.append)

    def start(
        self, heads: Mapping[str, Any], role: Role = "all", warehouse: Warehouse | None = None, **fields: Any
    ) -> httpx.Client:
        """A service, and a client of it."""
        config, served = load_config(self.file(heads, **fields))
        app = AppFactory(config, served, self.dependencies(warehouse)).create_app(role, "127.0.0.1")
        return self.running.enter_context(serving(app))


@contextmanager
def serving(app: Any) -> Iterator[httpx.Client]:
    """An app at a free port of this machine, until its client is given back."""
    with bind_socket("127.0.0.1", 0) as at:
        at.listen()  # whoever comes before the server waits for it
        server = uvicorn.Server(
            uvicorn.Config(app, http=LimitedHttpProtocol, log_config=None, access_log=False, ws="none")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
        thread.start()
        with httpx.Client(base_url=socket_url(at), timeout=60) as client:
            yield client
        server.should_exit = True
        thread.join()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty folder to serve from; what runs is stopped at the end."""
    with ExitStack() as running:
        (tmp_path / "heads").mkdir()
        yield Bench(tmp_path, running)


@pytest.fixture(scope="session")
def resnet() -> Encoder:
    """A real ResNet-18 with weights from a seed."""
    return load(lookup("resnet18-seeded@1.0.0"), "cpu")


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small PNG."""
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path.read_bytes()


def vector_of(encoder: Encoder, content: bytes) -> Vector:
    """What the encoder gives by itself."""
    (outcome,) = encoder.encode([Raw(content)])
    assert isinstance(outcome, Encoded)
    return outcome.vector


def eventually(seen: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    waiting = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if seen():
            return
        waiting.wait(0.02)
    raise AssertionError("it never came to be")
