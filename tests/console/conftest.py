"""The console over warehouses, as an application and as a server that a browser opens."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import uvicorn

from rawless.console.access import ENTRY, BrowserGate, Sessions
from rawless.console.app import create_app
from rawless.console.reads import Reads
from rawless.console.server import HOST, bind
from rawless.console.source import Source
from rawless.warehouse.client import Warehouse
from tests.console.filled import NOW, SERVED, Filled, fill
from tests.warehouse_pool import WarehousePool


class Console:
    """A console that runs, with the links that it has given."""

    def __init__(self, url: str, links: list[str]) -> None:
        self.url, self.links = url, links

    @contextmanager
    def entered(self) -> Iterator[httpx.Client]:
        """A client that has followed the link."""
        with httpx.Client(base_url=self.url, follow_redirects=True, trust_env=False) as client:
            assert client.get(self.links[-1]).status_code == 200
            yield client


@contextmanager
def running(source: Source, now: datetime = NOW) -> Iterator[Console]:
    """A console at work, as `rawless.console.server` composes it, but in a thread."""
    with bind(0) as bound:
        port, sessions, links = bound.getsockname()[1], Sessions(), list[str]()

        def give_link() -> None:
            links.append(f"http://{HOST}:{port}{ENTRY}?token={sessions.link_token}")

        give_link()
        app = BrowserGate(create_app(source, lambda: now), port, sessions, give_link)
        server = uvicorn.Server(uvicorn.Config(app, http="h11", log_config=None, access_log=False, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            yield Console(f"http://{HOST}:{port}", links)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def filled(warehouses: WarehousePool, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A warehouse in which much has happened."""
    return fill(warehouses.make(), tmp_path_factory.mktemp("filled"))


@pytest.fixture(scope="module")
def console(filled: Filled) -> Iterator[Console]:
    """The console over that warehouse."""
    source = Source(Reads(filled.warehouse), "local-dev", filled.head_folder, (SERVED,))
    with running(source) as console:
        yield console


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Warehouse], Source]:
    """Make what the pages of a warehouse are made from."""
    return lambda warehouse: Source(Reads(warehouse), "local-dev", tmp_path / "heads")
