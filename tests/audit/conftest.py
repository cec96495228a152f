"""Fixtures that run a job and search everything that it outputs and leaves behind for contents."""

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import apache_beam as beam
import pytest

from pipelines import options
from pipelines.run import as_rawless_error
from pipelines.unbounded import read_locally
from rawless.audit.search import Search, Trace
from rawless.audit.sinks import find
from rawless.events.source import Source
from rawless.privacy import Raw

Searched = Callable[..., set[Trace]]


class SourceJob(Protocol):
    """A job that reads a source."""

    @property
    def source(self) -> Source: ...
    def build(self, pipeline: beam.Pipeline) -> None: ...


@pytest.fixture
def searched(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Searched:
    """Return a function that runs a job and returns the traces of the contents.

    It searches the home folder with the tables, temporary files and all output, with everything logging at debug level.
    """
    temporary = tmp_path / "left"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def run_and_search(job: SourceJob, contents: Sequence[bytes], beam_options: Sequence[str] = ()) -> set[Trace]:
        streaming = not job.source.is_bounded
        pipeline = beam.Pipeline(options=options.parse(beam_options, streaming=streaming))
        job.build(pipeline)
        output: list[str] = []
        unregistered: set[str] = set()
        with caplog.at_level(logging.DEBUG):
            try:
                with read_locally(job.source):
                    result = pipeline.run()
                    result.wait_until_finish()
                metrics = [each for kind in result.metrics().query().values() for each in kind]
                output += map(repr, metrics)
                unregistered = {each.key.metric.name for each in metrics if not find(f"beam/{each.key.metric.name}")}
            except Exception as error:  # noqa: BLE001 - whatever a runner raises
                output += [str(error), repr(error), str(as_rawless_error(error))]
        output += [*capfd.readouterr(), caplog.text, *(repr(record.__dict__) for record in caplog.records)]
        search = Search(contents)
        traces = search.in_bytes("\n".join(output).encode(), "output")
        traces |= search.in_folder(temporary) | search.in_folder(Path(os.environ["RAWLESS_HOME"]))
        assert search.unread == unregistered == set()
        return traces

    return run_and_search


@pytest.fixture
def talkative() -> Callable[[str], Callable[..., NoReturn]]:
    """Return a function that makes a library function which logs and raises its arguments together with a marker."""

    def make(marker: str) -> Callable[..., NoReturn]:
        def fail(*arguments: Any, **keywords: Any) -> NoReturn:
            contents = [argument.reveal() for argument in arguments if isinstance(argument, Raw)]
            text = f"{arguments!r} {contents!r} {marker}"
            logging.getLogger("some.library").error("failed on %s", text, exc_info=ValueError(text))
            logging.getLogger("some.library").debug(f"failed on {text}")
            raise ValueError(text)

        return fail

    return make
