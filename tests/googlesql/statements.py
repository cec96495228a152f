"""Record the statements that Rawless sends to the local BigQuery during tests, with the tables that they name."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from rawless.warehouse import client as warehouse_client
from rawless.warehouse.tables import names, table

PRODUCT = tuple(str(Path(__file__).parents[2] / name) for name in ("rawless/", "pipelines/"))
USERS = tuple(
    str(Path(__file__).parents[2] / name)
    for name in ("rawless/api/sql.py", "rawless/cli/commands/sql.py", "rawless/datasets/unit_tests.py")
)
"""Send what a user wrote; unit tests run on Google's evaluator themselves."""
EVALUATED = "evaluated"
"""The project of the stand-in, on which Google's evaluator has read a statement already."""
_TABLE = re.compile(r"`([a-z][\w.:-]*\.\w+\.\w+)`")
_NUMBER_OF_DATASET = re.compile(r"`([a-z][\w.:-]*\.[a-z_]+?)_?\d*(_elsewhere)?\.(\w+)`")
_ID_OF_TABLE = re.compile(r"\b(build|copy|snapshot|subject_sync)_(?=[0-9a-f]*[0-9])[0-9a-f]+")


@dataclass(frozen=True)
class Statement:
    """A statement, with the types of its parameters and the columns of its tables, as in BigQuery's API."""

    sql: str
    parameters: dict[str, dict[str, Any]]
    tables: dict[str, list[dict[str, Any]]]
    test: str
    """The first test that sent it."""

    @property
    def key(self) -> str:
        """What makes a statement another one."""
        return json.dumps([self.sql, self.parameters, self.tables], sort_keys=True)


def read(folder: Path) -> list[Statement]:
    """Return the distinct statements that all processes of a test run recorded."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
    statements = [Statement(**json.loads(line)) for line in lines]
    return list({statement.key: statement for statement in reversed(statements)}.values())


@contextmanager
def recorded(file: Path) -> Iterator[None]:
    """Write the statements that the local BigQuery accepts within the context to a file."""
    send = bigquery.Client.query
    seen: dict[str, Statement] = {}

    def query(self: bigquery.Client, sql: str, job_config: Any = None, **options: Any) -> bigquery.QueryJob:
        job = send(self, sql, job_config=job_config, **options)
        name = plain(sql)
        if self.project != EVALUATED and name not in seen and _is_sent_by_product():
            wait = job.result

            def result(*arguments: Any, **named: Any) -> Any:
                rows = wait(*arguments, **named)
                if name not in seen:
                    seen[name] = _statement(self, sql, job_config)
                return rows

            job.result = result  # type: ignore[method-assign]
        return job

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bigquery.Client, "query", query)
        yield
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(asdict(statement)) + "\n" for statement in seen.values()))


def plain(sql: str) -> str:
    """Return a statement without what differs between two tests: numbers of datasets and ids of snapshots."""
    return _ID_OF_TABLE.sub(r"\1_id", _NUMBER_OF_DATASET.sub(r"`\1.\3`", sql))


def _is_sent_by_product() -> bool:
    """Return whether Rawless itself wrote the statement that is sent, rather than a test."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename == warehouse_client.__file__ and frame.f_back:
        frame = frame.f_back
    file = frame.f_code.co_filename
    return file.startswith(PRODUCT) and file not in USERS


def _statement(client: bigquery.Client, sql: str, job_config: bigquery.QueryJobConfig | None) -> Statement:
    given = job_config.to_api_repr()["query"].get("queryParameters", []) if job_config else []
    tables = {plain(f"`{name}`").strip("`"): _columns(client, name) for name in sorted(set(_TABLE.findall(sql)))}
    return Statement(
        plain(sql),
        {parameter["name"]: parameter["parameterType"] for parameter in given},
        {name: columns for name, columns in tables.items() if columns},
        os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0],
    )


def _columns(client: bigquery.Client, table_id: str) -> list[dict[str, Any]]:
    """Return the columns of a table, none for a table function."""
    name = table_id.rpartition(".")[2]
    if name in names():
        return [column.to_bigquery().to_api_repr() for column in table(name).columns]
    try:
        return [field.to_api_repr() for field in client.get_table(table_id).schema]
    except NotFound:
        return []
