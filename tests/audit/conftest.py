"""Running a job in full view: whatever it says and leaves is searched for contents afterwards."""

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import apache_beam as beam
import pytest

from pipelines import options
from pipelines.ingest import Ingest
from pipelines.run import as_rawless_error
from pipelines.unbounded import read_locally
from rawless.audit.search import Search
from rawless.privacy import Raw
from rawless.warehouse.client import Warehouse

Searched = Callable[..., set[str]]


@pytest.fixture
def searched(
    warehouse: Warehouse,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Searched:
    """Runs a job and returns the places where any of the contents was found: tables, home, temporary files, output.

    Everything logs at debug level, and temporary files go into a folder of their own.
    """
    left = tmp_path / "left"
    left.mkdir()
    monkeypatch.setenv("TMPDIR", str(left))
    monkeypatch.setattr(tempfile, "tempdir", str(left))

    def go(job: Ingest, contents: Sequence[bytes], beam_options: Sequence[str] = ()) -> set[str]:
        streaming = not job.source.is_bounded
        pipeline = beam.Pipeline(options=options.parse(beam_options, streaming=streaming))
        job.build(pipeline)
        said: list[str] = []
        with caplog.at_level(logging.DEBUG):
            try:
                with read_locally(job.source):
                    result = pipeline.run()
                    result.wait_until_finish()
                said += [repr(each) for each in result.metrics().query()["counters"]]
            except Exception as error:  # noqa: BLE001 - whatever a runner raises
                said += [str(error), repr(error), str(as_rawless_error(error))]
        said += [*capfd.readouterr(), caplog.text, *(repr(record.__dict__) for record in caplog.records)]
        search = Search(contents)
        found = search.in_bytes("\n".join(said).encode(), "what was said") | search.in_tables(warehouse)
        return {
            trace.place for trace in found | search.in_folder(left) | search.in_folder(Path(os.environ["RAWLESS_HOME"]))
        }

    return go


@pytest.fixture
def talkative() -> Callable[[str], Callable[..., NoReturn]]:
    """Makes a library that quotes what it was given, and a marker: it logs it, and keeps it in its exception."""

    def make(marker: str) -> Callable[..., NoReturn]:
        def raises(*arguments: Any, **keywords: Any) -> NoReturn:
            content = f"{arguments!r} {[each.reveal() for each in arguments if isinstance(each, Raw)]!r} {marker}"
            logging.getLogger("some.library").error("failed on %s", content, exc_info=ValueError(content))
            logging.getLogger("some.library").debug(f"failed on {content}")
            raise ValueError(content)

        return raises

    return make
