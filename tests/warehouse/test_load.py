"""Loading files of business facts: rows, pseudonyms in place of plain ids, and errors that quote no cell."""

import contextlib
import json
import socket
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from google.cloud import bigquery

from rawless.errors import RawlessError, UserError
from rawless.privacy.pseudonyms import KeySource, PseudonymKey
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator
from rawless.warehouse.load import load_file, pseudonymise, read

SECRET = "secret8251"
Within = Callable[[float, Callable[[], object]], BaseException]
ROWS = [{"event_id": "a", "label": "late"}, {"event_id": "b", "label": "lost"}]


@pytest.fixture
def pseudonyms(key: KeySource) -> PseudonymKey:
    return key.load()


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows to a file in the format of its suffix."""
    if path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_file_of_each_kind_becomes_rows(warehouse: Warehouse, tmp_path: Path, kind: str) -> None:
    loaded = load_file(warehouse, "facts", write(tmp_path / f"facts.{kind}", ROWS))
    assert loaded == (2, ["event_id", "label"])
    assert warehouse.query("SELECT event_id, label FROM facts ORDER BY event_id") == ROWS


def test_values_keep_their_types(warehouse: Warehouse, tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    row = {"number": 7, "ratio": 0.1, "yes": True, "at": at, "text": "é€", "nothing": None}
    columns = pa.Table.from_pylist([row]).set_column(5, "nothing", pa.array([None], pa.string()))
    pyarrow.parquet.write_table(columns, tmp_path / "facts.parquet")
    load_file(warehouse, "facts", tmp_path / "facts.parquet")
    assert warehouse.query("SELECT * FROM facts") == [row]


def test_a_second_file_is_appended_or_replaces_the_table(warehouse: Warehouse, tmp_path: Path) -> None:
    file = write(tmp_path / "facts.csv", ROWS)
    load_file(warehouse, "facts", file)
    load_file(warehouse, "facts", file)
    assert warehouse.query("SELECT COUNT(*) AS n FROM facts") == [{"n": 4}]
    load_file(warehouse, "facts", file, replace=True)
    assert warehouse.query("SELECT COUNT(*) AS n FROM facts") == [{"n": 2}]


def test_a_dataset_can_be_named(warehouse: Warehouse, tmp_path: Path) -> None:
    name = f"{warehouse.config.subjects}.facts"
    load_file(warehouse, name, write(tmp_path / "facts.csv", ROWS))
    assert warehouse.query(f"SELECT COUNT(*) AS n FROM {name}") == [{"n": 2}]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_plain_ids_are_replaced_by_pseudonyms(
    warehouse: Warehouse, tmp_path: Path, pseudonyms: PseudonymKey, kind: str
) -> None:
    rows = [{"customer": f"{SECRET}-{number}", "label": "late"} for number in range(3)]
    file = write(tmp_path / f"facts.{kind}", rows)
    _, columns = load_file(warehouse, "facts", file, key=pseudonyms, subject_column="customer")
    assert columns == ["label", "subject_key", "subject_key_id"]
    found = warehouse.query("SELECT * FROM facts")
    assert {row["subject_key"] for row in found} == {pseudonyms.pseudonym(f"{SECRET}-{each}") for each in range(3)}
    assert {row["subject_key_id"] for row in found} == {pseudonyms.key_id}
    assert SECRET not in str(found)


@pytest.mark.parametrize("subject", ["customer-1", "007", "42", "1e5", "1.50", "2026-01-02", "true"])
def test_an_id_in_a_csv_is_read_as_text(
    warehouse: Warehouse, tmp_path: Path, pseudonyms: PseudonymKey, subject: str
) -> None:
    # The event's producer sends the same id as text: only the same text has the same pseudonym.
    file = write(tmp_path / "facts.csv", [{"customer": subject, "label": "late"}])
    load_file(warehouse, "facts", file, key=pseudonyms, subject_column="customer")
    assert warehouse.query("SELECT subject_key FROM facts") == [{"subject_key": pseudonyms.pseudonym(subject)}]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("present", ["customer-1", 42])
def test_a_missing_id_stays_missing(
    warehouse: Warehouse, tmp_path: Path, pseudonyms: PseudonymKey, kind: str, present: str | int
) -> None:
    missing = "" if kind == "csv" else None
    rows = [{"customer": present, "label": "late"}, {"customer": missing, "label": "lost"}]
    file = write(tmp_path / f"facts.{kind}", rows)
    load_file(warehouse, "facts", file, key=pseudonyms, subject_column="customer")
    assert warehouse.query("SELECT subject_key, subject_key_id FROM facts ORDER BY label") == [
        {"subject_key": pseudonyms.pseudonym(str(present)), "subject_key_id": pseudonyms.key_id},
        {"subject_key": None, "subject_key_id": None},
    ]


@pytest.mark.parametrize("text", ["NA", "null", "nan", "NULL", "N/A"])
def test_a_text_that_looks_like_a_null_stays_a_text(
    warehouse: Warehouse, tmp_path: Path, pseudonyms: PseudonymKey, text: str
) -> None:
    # NA is a country, Null a surname; only an empty cell is missing.
    file = write(tmp_path / "facts.csv", [{"customer": "a", "label": "late"}, {"customer": text, "label": text}])
    load_file(warehouse, "facts", file, key=pseudonyms, subject_column="customer")
    found = warehouse.query("SELECT label FROM facts WHERE subject_key = @key", [_text("key", pseudonyms, text)])
    assert found == [{"label": text}]


def _text(name: str, pseudonyms: PseudonymKey, subject: str) -> bigquery.ScalarQueryParameter:
    return bigquery.ScalarQueryParameter(name, "STRING", pseudonyms.pseudonym(subject))


def assert_one_sentence(error: BaseException) -> None:
    """Check that neither the error nor its traceback quotes a cell."""
    assert SECRET not in "".join(traceback.format_exception(error))
    assert len(str(error).splitlines()) == 1


def message_of(caught: pytest.ExceptionInfo[BaseException]) -> str:
    assert_one_sentence(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("facts.xlsx", b"", "must end in one of .csv, .jsonl, .parquet"),
        ("facts", b"", "must end in one of"),
        ("gone.csv", None, "does not exist"),
        ("empty.csv", b"", "cannot be read as csv"),
        ("header.csv", b"a,b\n", "has no rows"),
        ("ragged.csv", f"a,b\n{SECRET},2,3\n".encode(), "cannot be read as csv"),
        ("broken.jsonl", f'{{"a": "{SECRET}"\n'.encode(), "cannot be read as jsonl"),
        ("mixed.jsonl", f'{{"a": 1}}\n{{"a": "{SECRET}"}}\n'.encode(), "cannot be read as jsonl"),
        ("list.jsonl", f'["{SECRET}"]\n'.encode(), "cannot be read as jsonl"),
        ("empty.jsonl", b"", ""),
        ("broken.parquet", f"PAR1{SECRET}PAR1".encode(), "cannot be read as parquet"),
        ("short.parquet", b"PAR1", "cannot be read as parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_in_one_sentence(
    warehouse: Warehouse, tmp_path: Path, name: str, content: bytes | None, expected: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_file(warehouse, "facts", tmp_path / name)
    assert expected in message_of(caught)
    assert name in str(caught.value)


def test_text_that_is_not_utf8_is_reported_in_one_sentence(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(f"a\ncaf\xe9 {SECRET}\n".encode("latin-1"))
    with pytest.raises(UserError) as caught:
        load_file(warehouse, "facts", tmp_path / "latin.csv")
    message_of(caught)


def test_a_folder_is_not_a_file(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "facts.csv").mkdir()
    with pytest.raises(UserError, match=r"facts\.csv"):
        load_file(warehouse, "facts", tmp_path / "facts.csv")


def test_ids_are_brought_into_their_normal_form_or_refused(tmp_path: Path, pseudonyms: PseudonymKey) -> None:
    table = read(write(tmp_path / "facts.jsonl", [{"who": text} for text in ("a@x", " A@x ", "  ", "", None)]), "who")

    keys = pseudonymise(table, "who", pseudonyms, ("trim", "lower")).column("subject_key").to_pylist()
    assert keys == [pseudonyms.pseudonym("a@x")] * 2 + [None] * 3
    with pytest.raises(UserError, match=r"^1 ids in who cannot be those of an event: .* --subject-form says trim"):
        pseudonymise(table, "who", pseudonyms)


def test_a_missing_column_is_reported_with_the_existing_ones(
    warehouse: Warehouse, tmp_path: Path, pseudonyms: PseudonymKey
) -> None:
    file = write(tmp_path / "facts.csv", [{"customer": SECRET, "label": "late"}])
    with pytest.raises(UserError, match=r"--pseudonymise names 'who', but the file has customer, label") as caught:
        load_file(warehouse, "facts", file, key=pseudonyms, subject_column="who")
    message_of(caught)


def twice_named(path: Path) -> Path:
    path.write_text(f"customer,customer\n{SECRET},b\n")
    return path


def with_nested_ids(path: Path) -> Path:
    return write(path, [{"customer": {"id": SECRET}}])


def with_listed_ids(path: Path) -> Path:
    return write(path, [{"customer": [SECRET]}])


def with_a_key_of_its_own(path: Path) -> Path:
    return write(path, [{"customer": SECRET, "subject_key": SECRET}])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("facts.csv", twice_named),
        ("facts.jsonl", with_nested_ids),
        ("facts.parquet", with_listed_ids),
        ("facts.csv", with_a_key_of_its_own),
    ],
    ids=["column twice", "nested", "lists", "subject_key is there already"],
)
def test_a_column_that_cannot_be_pseudonymised_is_reported_in_one_sentence(
    warehouse: Warehouse,
    tmp_path: Path,
    pseudonyms: PseudonymKey,
    within: Within,
    name: str,
    make: Callable[[Path], Path],
) -> None:
    file = make(tmp_path / name)
    error = within(10, lambda: load_file(warehouse, "facts", file, key=pseudonyms, subject_column="customer"))
    assert isinstance(error, UserError), repr(error)
    assert_one_sentence(error)


@pytest.mark.parametrize("name", ["", "a b", "a.b.c", "1facts", "a;DROP TABLE x", "`a`", "a.", ".a", "é", "a" * 130])
def test_an_invalid_table_name_is_reported_in_one_sentence(warehouse: Warehouse, tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "facts.csv", [{"event_id": SECRET}])
    with pytest.raises(UserError, match=r"must be TABLE or DATASET\.TABLE") as caught:
        load_file(warehouse, name, file)
    message_of(caught)


@pytest.mark.parametrize(
    "row",
    [{"event_id": "c", "number": SECRET}, {"event_id": "c", "number": 1, "extra": SECRET}],
    ids=["another type", "another column"],
)
def test_a_file_that_does_not_match_the_table_quotes_no_cell(
    warehouse: Warehouse, tmp_path: Path, row: dict[str, Any]
) -> None:
    load_file(warehouse, "facts", write(tmp_path / "facts.csv", [{"event_id": "a", "number": 1}]))
    with pytest.raises(UserError) as caught:
        load_file(warehouse, "facts", write(tmp_path / "other.csv", [row]))
    assert "facts" in message_of(caught)


def test_a_missing_dataset_is_reported(warehouse: Warehouse, tmp_path: Path, within: Within) -> None:
    # BigQuery answers 404, the local one 500, which counts as away.
    file, brief = write(tmp_path / "facts.csv", [{"event_id": SECRET}]), replace(warehouse, retry_seconds=1.0)
    error = within(10, lambda: load_file(brief, "nowhere.facts", file))
    assert isinstance(error, RawlessError), repr(error)
    assert_one_sentence(error)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_nanoseconds_are_loaded_or_reported_without_a_traceback(
    warehouse: Warehouse, tmp_path: Path, kind: str
) -> None:
    if kind == "csv":
        write(tmp_path / "facts.csv", [{"event_id": SECRET, "at": "2026-01-02 03:04:05.123456789"}])
    else:
        at = pa.array([1_767_323_045_123_456_789], pa.timestamp("ns", tz="UTC"))
        pyarrow.parquet.write_table(pa.table({"event_id": [SECRET], "at": at}), tmp_path / "facts.parquet")
    file = tmp_path / f"facts.{kind}"
    with contextlib.suppress(UserError):
        load_file(warehouse, "facts", file)
        assert warehouse.query("SELECT COUNT(*) AS n FROM facts") == [{"n": 1}]


def test_an_unavailable_warehouse_is_reported_within_the_retry_time(
    warehouse: Warehouse, tmp_path: Path, within: Within
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    away = replace(warehouse, emulator=Emulator(f"http://{address}", address), retry_seconds=1.0)
    file = write(tmp_path / "facts.csv", [{"event_id": SECRET}])
    error = within(10, lambda: load_file(away, "facts", file))
    assert isinstance(error, RawlessError), repr(error)
    assert_one_sentence(error)


SENTENCE = f"Where is my parcel, {SECRET}? It was promised for Monday, and today is Thursday already."


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "texts",
    [["late", SENTENCE.replace(",", "")], [f"{SECRET} says {number}" for number in range(101)], ["x" * 65]],
    ids=["long", "many", "long id"],
)
def test_free_text_is_refused_unless_it_is_declared(
    warehouse: Warehouse, tmp_path: Path, kind: str, texts: list[str]
) -> None:
    file = write(tmp_path / f"facts.{kind}", [{"event_id": f"e-{text[:3]}", "note": text} for text in texts])

    with pytest.raises(UserError, match=r"The column note contains free text, .* name it by --text note\.$") as caught:
        load_file(warehouse, "facts", file)

    message_of(caught)
    assert load_file(warehouse, "facts", file, text=["note"])[0] == len(texts)


def test_listed_texts_are_free_text_too(warehouse: Warehouse, tmp_path: Path) -> None:
    file = write(tmp_path / "facts.parquet", [{"notes": ["late", SENTENCE]}])
    with pytest.raises(UserError, match="The column notes contains free text"):
        load_file(warehouse, "facts", file)


def test_ids_dates_and_enumerations_are_no_free_text(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = [
        {
            "id": f"msg-{number:04d}",
            "day": "2026-01-02T03:04:05+01:00",
            "kind": f"late (again) {number % 100}",
            "no": None,
        }
        for number in range(300)
    ]
    assert load_file(warehouse, "facts", write(tmp_path / "facts.jsonl", rows))[0] == 300


def test_a_text_column_that_does_not_exist_is_reported(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--text names 'note', but the file has event_id, label"):
        load_file(warehouse, "facts", write(tmp_path / "facts.csv", ROWS), text=["note"])


def test_no_nested_key_is_printed(warehouse: Warehouse, tmp_path: Path, pseudonyms: PseudonymKey) -> None:
    rows = [{"customer": {SECRET: 1}, "event_id": "a"}]
    file = write(tmp_path / "facts.jsonl", rows)
    for key, column in ((None, None), (pseudonyms, "customer")):
        with pytest.raises(UserError, match="of type record") as caught:
            load_file(warehouse, "facts", file, key=key, subject_column=column)
        message_of(caught)


@pytest.mark.parametrize(
    "lines",
    [
        [f"msg_0001,{SECRET}", "msg_0002,lost"],
        [f"{SECRET},late", f"{SECRET},lost"],
        ["a,true", "b,false"],
        ["a,2026-01-02", "b,2026-01-03"],
        ["7,a", "8,b"],
    ],
    ids=["the same form", "a value below", "a boolean", "a date", "a number"],
)
def test_a_csv_without_a_header_is_noticed(warehouse: Warehouse, tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "facts.csv").write_text("\n".join(lines) + "\n")

    with pytest.raises(UserError, match="add a header") as caught:
        load_file(warehouse, "facts", tmp_path / "facts.csv")

    message_of(caught)
