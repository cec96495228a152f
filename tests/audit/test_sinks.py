"""Every sink that is written is registered, so that an audit searches it or says that it cannot."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from rawless.audit.sinks import find, find_table, sinks
from rawless.connect import LOCAL_CONFIG
from rawless.console.access import ENTRY
from rawless.console.app import create_app
from rawless.console.reads import Reads
from rawless.console.source import Source
from rawless.metering.metric import registry
from rawless.metering.table import METRICS
from rawless.serving.metrics import Metrics
from rawless.warehouse.client import Warehouse

ROOT = Path(__file__).parents[2]
PACKAGES = ("encoders", "pipelines", "rawless")
WRITES = {
    *("write_text", "write_bytes", "atomic_write", "mkdtemp", "mkstemp", "mkdir", "makedirs", "copyfile", "copytree"),
    *("TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile", "to_parquet", "write_table"),
    *("ParquetWriter", "savez", "savetxt", "save_file", "symlink_to", "copy2", "FileHandler", "download_to_filename"),
    "pwrite",
}
"""Functions that write files, and make folders."""
PRINTS = {"print", "getLogger", "basicConfig", "Console"}
FOR_OTHERS = {"rawless.files"}
"""Modules that write for others."""
TO_STDOUT = {"rawless.heads.importing.trial"}
RECORDS = {"rawless.audit.canary.machine"}
"""Modules that use a logger to read."""


@cache
def _modules() -> dict[str, ast.Module]:
    return dict(_parsed())


def _parsed() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def _writes(module: ast.Module) -> bool:
    """Whether a module calls a function that writes files."""
    for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        modes = [
            each.value for each in [*call.args, *(k.value for k in call.keywords)] if isinstance(each, ast.Constant)
        ]
        if name in WRITES or (name == "open" and any(isinstance(m, str) and set(m) & set("wax+") for m in modes[:2])):
            return True
    return False


def _prints(module: ast.Module) -> bool:
    calls = (node.func for node in ast.walk(module) if isinstance(node, ast.Call))
    return any((call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")) in PRINTS for call in calls)


def test_every_module_that_writes_files_is_a_writer_of_a_registered_sink() -> None:
    registered = {writer for sink in sinks() if sink.kind == "file" for writer in sink.writers}

    assert {name for name, module in _modules().items() if _writes(module)} - FOR_OTHERS - TO_STDOUT == registered


def test_every_module_that_prints_or_logs_is_a_writer_of_a_registered_sink() -> None:
    registered = {writer for sink in sinks() if sink.kind == "output" for writer in sink.writers}

    assert {name for name, module in _modules().items() if _prints(module)} - RECORDS == registered


def test_every_route_of_the_services_is_registered() -> None:
    """Routes are added by Service.add_route only; those of heads have a path that a function makes."""
    routes, added = [], 0
    for name, module in _modules().items():
        if not name.startswith("rawless.serving"):
            continue
        for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            added += function in ("add_api_route", "route", "api_route", "mount", "include_router")
            if function == "add_route":
                method, path = call.args[:2]
                assert isinstance(method, ast.Constant)
                paths = (
                    [path.value]
                    if isinstance(path, ast.Constant)
                    else [f"/v1/heads/x/{p}" for p in ("predict", "score")]
                )
                routes += [f"{method.value} {each}" for each in paths]

    assert added == 1
    assert len(routes) >= 11
    assert [route for route in routes if find(route) is None] == []


def test_every_path_of_the_console_is_registered() -> None:
    source = Source(Reads(Warehouse(LOCAL_CONFIG)), "local-dev", Path())
    paths = [ENTRY, *(route.path for route in create_app(source).routes)]

    assert len(paths) >= 9
    assert [path for path in paths if find(f"CONSOLE {path}") is None] == []


def test_the_metrics_of_services_are_registered() -> None:
    names = [f"service/{metric.name}" for metric in Metrics().registry.collect()]

    assert len(names) == 15
    assert [name for name in names if find(name) is None] == []


def test_the_metrics_of_a_process_are_registered() -> None:
    names = [f"process_metric/{metric.name}" for metric in registry.collect()]

    assert len(names) > len(METRICS)
    assert [name for name in names if find(name) is None] == []


def test_every_code_is_unique_and_every_name_belongs_to_one_sink() -> None:
    codes = [sink.code for sink in sinks()]

    assert len(set(codes)) == len(codes)
    assert find("events.embedding_event_v1") != find("events.rejection_v1")


@pytest.mark.parametrize(
    ("role", "name", "code"),
    [
        ("events", "embedding_event_v1", "embedding_event_v1"),
        ("snapshots", "snapshot_0123456789abcdef", "snapshots"),
        ("snapshots", "dataset_uploads", "dataset_views"),
        ("builds", "copy_0123_customers", "source_copies"),
        ("subjects", "subject_sync_0123", "subject_staging"),
        ("events", "topic_confirmed", "business_tables"),
        (None, "customers", "business_tables"),
        ("snapshots", "thumbnails", "unregistered_tables"),
        ("audit", "embedding_event_v1", "unregistered_tables"),
    ],
)
def test_a_live_table_belongs_to_a_sink(role: str | None, name: str, code: str) -> None:
    assert find_table(role, name).code == code
