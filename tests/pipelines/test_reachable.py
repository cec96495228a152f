"""A job whose workers run on other machines reads nothing that only this one has: it is refused before it starts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.launch import IngestRequest, prepare, replay
from rawless.errors import UserError
from rawless.events.columns import Wanted
from rawless.events.file_set import FileSet
from rawless.events.filtered_source import FilteredSource
from rawless.events.sources import open_source
from rawless.events.sources.bigquery import TableSource
from rawless.events.sources.parquet import ParquetSource
from rawless.events.stream import Stream
from rawless.privacy import Reason
from rawless.warehouse.client import Warehouse
from rawless.warehouse.table_streams import Tables

REMOTE = ("--runner=DataflowRunner", "--project=a-project", "--region=europe-west4", "--temp_location=gs://b/t")


@pytest.fixture
def warehouse_file(tmp_path: Path) -> Path:
    """A warehouse on Google Cloud."""
    file = tmp_path / "warehouse.yaml"
    roles = ("events", "snapshots", "builds", "subjects", "audit")
    file.write_text("project: a-project\n" + "".join(f"{role}: {role}\n" for role in roles))
    return file


def test_a_local_file_is_refused_for_remote_workers_in_one_sentence(
    stream: Stream, write_events: Callable[..., Path], warehouse_file: Path
) -> None:
    path = write_events({})
    request = IngestRequest(open_source(f"jsonl:{path}", stream), warehouse=warehouse_file, beam=REMOTE)

    for launch in (lambda: prepare(request, stream), lambda: replay(request, stream, Reason.INTERNAL)):
        with pytest.raises(UserError) as refused:
            launch()
        assert str(refused.value) == (
            f"--source names a file on this machine ({path}), which workers on other machines cannot read: copy it to "
            "Google Cloud and name it there, as in jsonl:gs://BUCKET/*.jsonl, or leave out the option --runner to run "
            "the job here."
        )


def test_files_with_metadata_on_this_machine_are_refused(stream: Stream, tmp_path: Path, warehouse_file: Path) -> None:
    (tmp_path / "a.txt").touch()
    metadata = tmp_path / "m.csv"
    metadata.write_text("file,event_id,occurred_at,subject_id\n")
    source = FilteredSource(open_source(f"files:{tmp_path}/*.txt", stream, metadata), "message", frozenset())

    with pytest.raises(UserError, match="names files on this machine"):
        prepare(IngestRequest(source, warehouse=warehouse_file, beam=REMOTE), stream)


def test_objects_of_an_emulator_are_refused_for_remote_workers(
    stream: Stream, warehouse_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cloud = ParquetSource(FileSet("gs://bucket/*.parquet"), Wanted.by(stream))
    assert in_cloud.only_here() is None
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:8085")
    with pytest.raises(UserError, match="names objects of an emulator on this machine"):
        prepare(IngestRequest(in_cloud, warehouse=warehouse_file, beam=REMOTE), stream)


def test_a_table_of_the_local_bigquery_is_refused_for_remote_workers(
    stream: Stream, warehouse: Warehouse, warehouse_file: Path
) -> None:
    source = TableSource(f"{warehouse.config.project}.d.t", Wanted.by(stream), Tables(warehouse))

    with pytest.raises(UserError, match="names a table of the local BigQuery"):
        prepare(IngestRequest(source, warehouse=warehouse_file, beam=REMOTE), stream)
