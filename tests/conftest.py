"""Real parts for every test: one local stack a session, fresh datasets a test, the real MiniLM."""

import os

# One thread a process: with two processes on two cores, torch's threads would wait for each other.
os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"})
# The encoders of tests are new in each run, and would fill the user's cache of converted networks.
os.environ["RAWLESS_CACHE"] = "off"

import gc
import itertools
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import settings

from encoders.catalogue import lookup, parse
from encoders.encoder import Encoder
from encoders.load import load
from encoders.query_tower import Tower, trainable, unsealed_tower, write_tower
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless import broken_process
from rawless.connect import LOCAL_CONFIG, PUBSUB_VARIABLE
from rawless.events.pubsub import PubSub
from rawless.events.sources.pubsub import Subscription
from rawless.events.stream import Stream
from rawless.local import stack as local_stack
from rawless.local.stack import Stack
from rawless.privacy.pseudonyms import KEY_VARIABLE, KeySource, create_key_file
from rawless.steps import stop_signal
from rawless.steps.crash_record import FOLDER_VARIABLE
from rawless.warehouse.client import Warehouse
from tests import tiny_text_encoder, tiny_towers
from tests.cloud import cloud_warehouse
from tests.googlesql.statements import recorded
from tests.object_server import Store, serving
from tests.shop import Shop, open_shop
from tests.streams import ANY_ID
from tests.warehouse_pool import WarehousePool

if TYPE_CHECKING:
    from tests.googlesql.server import StandIn

# The machine is shared, so no single example has a deadline; CI looks at the same examples every time.
settings.register_profile("rawless", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("rawless")

_numbers = itertools.count()

ROOT = Path(__file__).parent
SLOW_FIXTURES = {
    "stack",
    "either",
    "evaluator",
    "google",
    "dataflow",
    "own_home",
    "bench",
    "minilm",
    "tiny_sealed",
    "towers",
    "checkpoint",
    "plain_resnet",
}
SLOW_FOLDERS = {"api", "cli", "deployment", "encoders", "heads", "lifecycle", "pipelines", "report", "terraform"}
CHARTS = {"test_encoder_map.py", "test_page.py", "test_projection.py", "test_report.py"}
"""Tests that project vectors, in one process of the test run, because the first compiles UMAP for the others."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare where to record the statements that Rawless sends to the local BigQuery."""
    parser.addoption("--statements", type=Path, help="folder in which to record SQL for `make analyze`")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the statements of an earlier run."""
    folder = config.getoption("--statements")
    if folder and not hasattr(config, "workerinput"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _recorded_statements(request: pytest.FixtureRequest) -> Iterator[None]:
    folder = request.config.getoption("--statements")
    if not folder:
        yield
        return
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    with recorded(folder / f"{worker}.jsonl"):
        yield


def _forks_programs(item: pytest.Item) -> bool:
    """Whether the test starts programs or workers: these last longest, and share one fork server in one process."""
    return hasattr(getattr(item, "module", None), "Program") or "forked_workers" in getattr(item, "fixturenames", ())


def _shares_with_its_module(item: pytest.Item) -> bool:
    """Whether the test uses a fixture of its module, which each process that runs one of its tests would make."""
    definitions = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return any(each[-1].scope == "module" for each in definitions.values())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, an encoder or a plan as slow, group what shares parts, and run the longest first."""
    for item in items:
        folder = item.path.relative_to(ROOT).parts[0]
        fixtures = set(getattr(item, "fixturenames", ()))
        if SLOW_FIXTURES & fixtures or folder in SLOW_FOLDERS or _forks_programs(item):
            item.add_marker(pytest.mark.slow)
        if _forks_programs(item):
            item.add_marker(pytest.mark.xdist_group("programs"))
        elif item.path.name in CHARTS:
            item.add_marker(pytest.mark.xdist_group("charts"))
        elif _shares_with_its_module(item):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(ROOT).as_posix()))
    items.sort(key=lambda item: (not _forks_programs(item), item.path.parent.name != "pipelines"))


def pytest_collection_finish() -> None:
    """Exempt what imports made from garbage collection: looking through all of it takes 0.4 seconds each time."""
    _pass_on_logs_of_torch()
    gc.collect()
    gc.freeze()


def _pass_on_logs_of_torch() -> None:
    """Let torch's fifty loggers pass records on to the root, so that pytest need not add handlers to each of them.

    It adds and removes two in each phase of a test, which would take longer than most tests.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if name.split(".")[0] == "torch" and isinstance(logger, logging.Logger):
            logger.propagate = True


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of the session's local stack."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def stack(home: Path) -> Iterator[Stack]:
    """The session's local stack."""
    yield local_stack.up(home)
    local_stack.down(home)


@pytest.fixture(scope="session")
def warehouses(stack: Stack) -> WarehousePool:
    """The session's warehouses."""
    return WarehousePool(stack)


@pytest.fixture
def warehouse(warehouses: WarehousePool) -> Iterator[Warehouse]:
    """A warehouse with datasets of its own and empty tables, whose columns a test must not change."""
    taken = warehouses.take()
    yield taken
    warehouses.give_back(taken)


@pytest.fixture
def new_warehouse(warehouses: WarehousePool) -> Warehouse:
    """A warehouse that no other test ever sees."""
    return warehouses.make()


@pytest.fixture(params=["local", pytest.param("cloud", marks=pytest.mark.cloud)])
def either(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """The local BigQuery, or the real one."""
    if request.param == "local":
        yield request.getfixturevalue("warehouse")
        return
    with cloud_warehouse() as warehouse:
        yield warehouse


@pytest.fixture(scope="session")
def evaluator() -> Iterator["StandIn"]:
    """The session's stand-in for BigQuery, which computes with Google's evaluator."""
    from tests.googlesql.server import standing_in  # takes a second

    with standing_in() as stand_in:
        yield stand_in


@pytest.fixture
def evaluated(evaluator: "StandIn") -> Warehouse:
    """An empty warehouse whose statements Google's evaluator runs."""
    return evaluator.empty_warehouse()


@pytest.fixture(params=["evaluator", pytest.param("cloud", marks=pytest.mark.cloud)])
def google(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """An empty warehouse of Google's making: its reference evaluator of GoogleSQL, or the real BigQuery."""
    if request.param == "evaluator":
        yield request.getfixturevalue("evaluated")
        return
    with cloud_warehouse() as warehouse:
        yield warehouse


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home folder of a local stack of one module of tests, in which nobody else writes."""
    home = tmp_path_factory.mktemp("own_home")
    Warehouse(LOCAL_CONFIG, local_stack.up(home).bigquery).ensure()
    yield home
    local_stack.down(home)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty Cloud Storage on this machine, to which sources are directed, and whose faults are retried quickly."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    from rawless.events import cloud_objects

    with serving() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
        for retry in (DEFAULT_RETRY, cloud_objects._retry):  # of lists, and of contents
            monkeypatch.setattr(retry, "_initial", 0.01)
            monkeypatch.setattr(retry, "_maximum", 0.05)
        cloud_objects.forget_client()
        yield server
        cloud_objects.forget_client()


@pytest.fixture
def shop(warehouse: Warehouse, tmp_path: Path) -> Shop:
    """A small business with uploads, confirmations and closed accounts."""
    return open_shop(warehouse, tmp_path)


@pytest.fixture
def subscription(stack: Stack) -> Subscription:
    """A subscription of its own on the local Pub/Sub, whose reader ends soon after the last message."""
    name = f"projects/local-dev/subscriptions/test-{next(_numbers)}"
    made = Subscription(name, PubSub(stack.pubsub, stack.token), until_idle=0.5)
    made.pubsub.ensure_subscription(name, topic_of(made))
    return made


def topic_of(subscription: Subscription) -> str:
    """The topic of a test's subscription."""
    return subscription.name.replace("/subscriptions/", "/topics/")


@pytest.fixture(autouse=True)
def _clean_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWLESS_HOME", str(home))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.delenv("RAWLESS_WEIGHTS", raising=False)
    monkeypatch.delenv("RAWLESS_SPECS", raising=False)
    monkeypatch.delenv(PUBSUB_VARIABLE, raising=False)
    monkeypatch.setenv(FOLDER_VARIABLE, str(home.parent))  # suspects of another run run alone
    stop_signal.reset()
    monkeypatch.setattr(broken_process, "_ends", False)  # a job in this process may have set it
    monkeypatch.setattr(broken_process, "_is_broken", False)


@pytest.fixture(scope="session")
def minilm() -> Encoder:
    """The real all-MiniLM-L6-v2."""
    return load(lookup("minilm@1.0.0"), "cpu")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a tiny text encoder; do not modify them."""
    return tiny_text_encoder.write_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_spec(tiny_folder: Path) -> Callable[..., EncoderSpec]:
    """Makes unsealed specs of the tiny encoder; arguments replace fields."""

    def make(folder: Path = tiny_folder, **fields: Any) -> EncoderSpec:
        return tiny_text_encoder.make_spec(folder, **fields)

    return make


@pytest.fixture(scope="session")
def tiny_sealed(tiny_spec: Callable[..., EncoderSpec]) -> EncoderSpec:
    """The tiny encoder's spec, sealed."""
    return seal(tiny_spec())


@pytest.fixture(scope="session")
def towers(tmp_path_factory: pytest.TempPathFactory) -> tiny_towers.Towers:
    """Both towers of a tiny checkpoint, and one of another checkpoint, sealed."""
    folders = [tmp_path_factory.mktemp(f"towers{seed}") for seed in (7, 8)]
    own, other = (tiny_towers.write_checkpoint(folder, "clip", seed) for seed, folder in enumerate(folders))
    image, text = (seal(tiny_towers.make_spec(own, "clip", modality)) for modality in ("image", "text"))
    return tiny_towers.Towers(image, text, seal(tiny_towers.make_spec(other, "clip", "text", name="foreign")))


@pytest.fixture(scope="session")
def tiny_file(tiny_sealed: EncoderSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tiny encoder's sealed spec, which a stream can name."""
    file = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    file.write_text(tiny_sealed.model_dump_json())
    return file


@pytest.fixture(scope="session")
def query_tower(tiny_sealed: EncoderSpec, tmp_path_factory: pytest.TempPathFactory) -> EncoderSpec:
    """A query tower of the tiny encoder, whose weights were shifted instead of tuned."""
    folder = tmp_path_factory.mktemp("towers") / "asks"
    network = trainable(tiny_sealed, None).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.full_like(parameter, 0.05).cumsum(-1) % 0.3)
    spec = unsealed_tower(tiny_sealed, Tower("asks", "1.0.0", "nothing"), folder)
    return write_tower(tiny_sealed, spec, network, folder)


@pytest.fixture(scope="session")
def query_tower_file(query_tower: EncoderSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the query tower's sealed spec."""
    file = tmp_path_factory.mktemp("spec") / "asks.yaml"
    file.write_text(query_tower.model_dump_json())
    return file


@pytest.fixture
def key(tmp_path: Path) -> KeySource:
    """A pseudonym key in a file."""
    create_key_file(tmp_path / "key")
    return KeySource(path=str(tmp_path / "key"))


@pytest.fixture
def stream() -> Stream:
    """A stream of texts with two attributes."""
    return Stream.model_validate(
        {
            "stream": "message",
            "modality": "text",
            "encoders": ["minilm@1.0.0"],
            "event_id": ANY_ID,
            "attributes": {"channel": {"enum": ["chat", "email"]}, "app": {"pattern": r"\d+\.\d+", "max_length": 8}},
            "limits": {"max_bytes": 2000},
        }
    )


@pytest.fixture
def write_events(tmp_path: Path) -> Callable[..., Path]:
    """Writes events (dicts, or lines of bytes) as JSON lines, with what every event needs filled in."""

    def write(*events: dict[str, Any] | bytes, name: str = "events.jsonl") -> Path:
        path = tmp_path / name
        lines = [each if isinstance(each, bytes) else json.dumps(event(**each)).encode() for each in events]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write


def event(**fields: Any) -> dict[str, Any]:
    """A whole event; a field given as `...` is left out."""
    whole = {
        "event_id": f"event-{next(_numbers)}",
        "occurred_at": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
        "stream": "message",
        "subject_id": "customer-1",
        "text": "Where is my parcel?",
    } | fields
    return {name: value for name, value in whole.items() if value is not ...}


@pytest.fixture(scope="session")
def tiny_noisy(tiny_sealed: EncoderSpec) -> EncoderSpec:
    """The tiny encoder with a defence: clipping, noise, and rounding to eight bits."""
    data = tiny_sealed.model_dump(mode="json", exclude={"probe"})
    steps = {"full_dimension": 16, "clip": 1.0, "noise": {"sigma": 0.2}, "quantise": {"bits": 8}}
    return seal(parse(data | {"name": "noisy", "defence": steps}, "The spec"))
