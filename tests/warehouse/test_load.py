"""Loading files of business facts: rows, pseudonyms in place of plain ids, and errors that quote no cell."""

import contextlib
import gzip
import json
import socket
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from google.cloud import bigquery

from rawless.errors import RawlessError, UserError
from rawless.privacy.pseudonyms import KeySource, PseudonymKey
from rawless.warehouse import column_types
from rawless.warehouse.business_file import read
from rawless.warehouse.client import Warehouse
from rawless.warehouse.config import Emulator
from rawless.warehouse.load import load_file, pseudonymise

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
    assert loaded == (2, {"event_id": ("STRING", False), "label": ("STRING", False)})
    assert warehouse.query("SELECT event_id, label FROM facts ORDER BY event_id") == ROWS


def test_values_keep_their_types(warehouse: Warehouse, tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    row = {"number": 7, "ratio": 0.1, "yes": True, "at": at, "text": "é€", "nothing": None}
    columns = pa.Table.from_pylist([row]).set_column(5, "nothing", pa.array([None], pa.string()))
    pyarrow.parquet.write_table(columns, tmp_path / "facts.parquet")
    load_file(warehouse, "facts", tmp_path / "facts.parquet")
    assert warehouse.query("SELECT * FROM facts") == [row]


def write_text(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def inferred(file: Path) -> dict[str, str]:
    """Return the types that are inferred for the columns of a file."""
    table = read(file)
    return {name: str(column_types.infer(name, table.column(name))) for name in table.column_names}


def types(warehouse: Warehouse, file: Path, **options: Any) -> dict[str, str]:
    """Load a file and return the types of its columns."""
    return {name: str(kind) for name, kind in load_file(warehouse, "facts", file, **options)[1].items()}


IDENTIFIERS = {
    "leading zeros": ["007", "0123"],
    "twenty digits": ["10000000000000000001", "10000000000000000002"],
    "an exponent": ["1e5", "2e7"],
    "leading zeros in one of many": ["12", "34", "056"],
    "a plus": ["+4915", "+4916"],
    "digits and letters": ["12", "12a"],
    "hexadecimal": ["0x10", "0x11"],
    "dates that are none": ["2026-02-30", "2026-02-31"],
    "special numbers": ["nan", "inf"],
    "separators": ["1_000", "2_000"],
}


@pytest.mark.parametrize("values", IDENTIFIERS.values(), ids=IDENTIFIERS)
def test_what_may_be_an_identifier_stays_a_text(tmp_path: Path, values: list[str]) -> None:
    assert inferred(write_text(tmp_path / "facts.csv", "line", *values)) == {"line": "STRING"}


@pytest.mark.parametrize("name", ["event_id", "customer", "Account_Number", "code", "zip", "order_ref", "phone_no"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_named_like_an_identifier_is_a_text(tmp_path: Path, name: str, kind: str) -> None:
    file = write(tmp_path / f"facts.{kind}", [{name: 48213, "amount": 1}, {name: 48214, "amount": 2}])
    assert inferred(file) == {name: "STRING", "amount": "INT64"}


def test_identifiers_are_loaded_as_they_are_written(warehouse: Warehouse, tmp_path: Path) -> None:
    file = write_text(tmp_path / "facts.csv", "event_id,line", "48213,007", "10000000000000000001,1e5")
    load_file(warehouse, "facts", file)
    assert warehouse.query("SELECT * FROM facts ORDER BY line") == [
        {"event_id": "48213", "line": "007"}, {"event_id": "10000000000000000001", "line": "1e5"},
    ]  # fmt: skip
    load_file(warehouse, "numbers", write(tmp_path / "facts.parquet", [{"customer": 48213}]))
    assert warehouse.query("SELECT * FROM numbers") == [{"customer": "48213"}]


VALUES: dict[str, list[str]] = {
    "INT64": ["0", "-7", "123456789012345678"],
    "FLOAT64": ["0.5", "-2", "1.5e-05", "1.0E+3"],
    "BOOL": ["true", "FALSE"],
    "DATE": ["2026-02-28"],
    "TIMESTAMP": ["2026-01-02T03:04:05Z", "2026-01-02 03:04:05.123456789+01:00", "2026-01-02 03:04:05 UTC"],
    "DATETIME": ["2026-01-02T03:04:05", "2026-01-02 03:04:05.5"],
}


@pytest.mark.parametrize("kind", VALUES)
def test_the_type_of_texts_is_inferred_if_all_have_its_form(tmp_path: Path, kind: str) -> None:
    file = write_text(tmp_path / "facts.csv", "amount,other", *(f"{value},x" for value in VALUES[kind]), ",y")
    assert inferred(file) == {"amount": kind, "other": "STRING"}


@pytest.mark.parametrize("text", ["2026-11-20T10:00:00Z", "2026-11-20T10:00:00.123Z", "2026-11-20T11:00:00+01:00"])
def test_a_time_in_json_keeps_its_zone_and_its_fraction(tmp_path: Path, text: str) -> None:
    told = read(write(tmp_path / "facts.jsonl", [{"told_at": text}])).column("told_at")
    kind = column_types.infer("told_at", told)
    assert str(kind) == "TIMESTAMP"
    assert column_types.convert("told_at", told, kind).to_pylist() == [datetime.fromisoformat(text)]


def test_a_decimal_is_exact_or_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "facts.parquet"
    pyarrow.parquet.write_table(pa.table({"v": pa.array([Decimal("1.234567890")], pa.decimal128(20, 9))}), file)
    assert types(warehouse, file) == {"v": "NUMERIC"}
    assert warehouse.query("SELECT v FROM facts") == [{"v": Decimal("1.23456789")}]
    pyarrow.parquet.write_table(pa.table({"v": pa.array([Decimal("1.2345678901")], pa.decimal128(20, 10))}), file)
    with pytest.raises(UserError, match=r"The column v is of type decimal128\(20, 10\), which cannot be loaded"):
        load_file(warehouse, "facts", file, existing="replace")


def test_categories_and_large_types_are_taken(warehouse: Warehouse, tmp_path: Path) -> None:
    table = pa.table(
        {
            "category": pa.array(["a", "b"]).dictionary_encode(),
            "words": pa.array(["x", "y"], pa.large_string()),
            "numbers": pa.array([[1, 2], [3]], pa.large_list(pa.int64())),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "facts.parquet")
    found = {"category": "STRING", "words": "STRING", "numbers": "ARRAY<INT64>"}
    assert types(warehouse, tmp_path / "facts.parquet") == found
    assert warehouse.query("SELECT * FROM facts ORDER BY category") == table.to_pylist()


def test_numbers_that_would_be_rounded_are_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    file = write_text(tmp_path / "facts.jsonl", '{"amount": 10000000000000000001}')
    with pytest.raises(UserError, match=r"The column amount of .* would be rounded; write them as text"):
        load_file(warehouse, "facts", file)
    file = write_text(tmp_path / "facts.jsonl", '{"customer_id": 121.0}')
    with pytest.raises(UserError, match=r"The column customer_id is of type double, .*, and identifiers to text\.$"):
        load_file(warehouse, "facts", file)


def test_types_are_declared_in_the_format_of_bigquery(warehouse: Warehouse, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    fields = [("digit", "INTEGER"), ("price", "NUMERIC"), ("label", "STRING")]
    schema.write_text(json.dumps([{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in fields]))
    file = write_text(tmp_path / "facts.csv", "label,price,digit", "1,2.50,007")
    assert types(warehouse, file, schema=schema) == {"digit": "INT64", "price": "NUMERIC", "label": "STRING"}
    assert warehouse.query("SELECT * FROM facts") == [{"digit": 7, "price": Decimal("2.5"), "label": "1"}]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", "cannot be read as a list of columns"),
        ('[{"name": "a"}]', "cannot be read as a list of columns"),
        ('[{"name": "a", "type": "BYTES"}]', "a column has none of the types STRING, INT64"),
        ('[{"name": "a", "type": "STRING"}]', r"The file has the column b, but --schema .* has a\."),
        ('[{"name": "a", "type": "INT64"}, {"name": "b", "type": "INT64"}]', "The column a is INT64, but 1 of"),
        (
            '[{"name": "a", "type": "STRING"}, {"name": "b", "type": "INT64"}, {"name": "c", "type": "INT64"}]',
            r"The file has no column c, but --schema .* has: add it",
        ),
    ],
)
def test_a_schema_that_does_not_fit_is_reported_in_one_sentence(
    warehouse: Warehouse, tmp_path: Path, schema: str, message: str
) -> None:
    (tmp_path / "schema.json").write_text(schema)
    file = write_text(tmp_path / "facts.csv", "a,b", f"{SECRET},1")
    with pytest.raises(UserError, match=message) as caught:
        load_file(warehouse, "facts", file, schema=tmp_path / "schema.json")
    message_of(caught)


def test_the_types_of_a_table_hold_for_later_files(warehouse: Warehouse, tmp_path: Path) -> None:
    load_file(warehouse, "facts", write_text(tmp_path / "facts.csv", "batch,size", "a1,1.5"))
    later = write_text(tmp_path / "later.csv", "size,batch", "2,17")
    assert types(warehouse, later, existing="append") == {"batch": "STRING", "size": "FLOAT64"}
    assert warehouse.query("SELECT * FROM facts ORDER BY size") == [
        {"batch": "a1", "size": 1.5}, {"batch": "17", "size": 2.0},
    ]  # fmt: skip
    replaced = write_text(tmp_path / "other.csv", "size,on", "2,true")
    assert types(warehouse, replaced, existing="replace") == {"size": "INT64", "on": "BOOL"}
    assert warehouse.query("SELECT * FROM facts") == [{"size": 2, "on": True}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_a_csv_is_read_as_people_write_it(warehouse: Warehouse, tmp_path: Path, delimiter: str, suffix: str) -> None:
    content = '\ufeffbatch,note\r\na1,"x\ny, ""z"""\r\nb2,w\r\n'.replace(",", delimiter, 2).replace(
        "b2,", f"b2{delimiter}"
    )
    file = tmp_path / f"facts{suffix}"
    file.write_bytes(gzip.compress(content.encode()) if suffix.endswith("gz") else content.encode())
    assert read(file).to_pylist() == [
        {"batch": "a1", "note": 'x\ny, "z"'}, {"batch": "b2", "note": "w"},
    ]  # fmt: skip


@pytest.mark.parametrize("declaration", ["sep=;", '"sep=|"', "\ufeffsep=,"])
def test_the_first_line_of_a_csv_may_declare_the_delimiter_as_for_excel(tmp_path: Path, declaration: str) -> None:
    delimiter = declaration.strip('"')[-1]
    file = tmp_path / "rows.csv"
    file.write_text(f"{declaration}\nid{delimiter}note\n1{delimiter}a:b\n")

    assert read(file).to_pylist() == [{"id": "1", "note": "a:b"}]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", "but its text is UTF-16"),
        ("utf-16-le", "is UTF-16LE"),
        ("utf-32", "is UTF-32"),
        ("latin-1", "is not UTF-8"),
    ],
)
def test_another_encoding_is_named(tmp_path: Path, encoding: str, message: str) -> None:
    (tmp_path / "facts.csv").write_text("batch,größe\na1,1\n", encoding=encoding)
    with pytest.raises(UserError, match=rf"facts\.csv.* {message}"):
        read(tmp_path / "facts.csv")


def test_a_second_file_is_appended_or_replaces_the_table(warehouse: Warehouse, tmp_path: Path) -> None:
    file = write(tmp_path / "facts.csv", ROWS)
    load_file(warehouse, "facts", file)
    with pytest.raises(UserError, match=r"facts already has 2 rows: use --append .*, or --replace\.$"):
        load_file(warehouse, "facts", file)
    load_file(warehouse, "facts", file, existing="append")
    assert warehouse.query("SELECT COUNT(*) AS n FROM facts") == [{"n": 4}]
    load_file(warehouse, "facts", file, existing="replace")
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
    assert list(columns) == ["label", "subject_key", "subject_key_id"]
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
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"a,b\n", "has no rows"),
        ("ragged.csv", f"a,b\n1,2\n{SECRET},2,3\n".encode(), "Row 3 of "),
        (
            "short_row.csv",
            f"a;b\n1;2\n{SECRET}\n".encode(),
            "has 1 values instead of 2: put values that contain a semicolon",
        ),
        ("quote.csv", f'a,b\n"{SECRET},2\n3,4\n'.encode(), "and close each"),
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
    assert "Line 2 of " in message_of(caught)


def test_a_folder_is_not_a_file(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "facts.csv").mkdir()
    with pytest.raises(UserError, match=r"facts\.csv"):
        load_file(warehouse, "facts", tmp_path / "facts.csv")


def test_ids_are_brought_into_their_normal_form_or_refused(tmp_path: Path, pseudonyms: PseudonymKey) -> None:
    table = read(write(tmp_path / "facts.jsonl", [{"who": text} for text in ("a@x", " A@x ", "  ", "", None)]))

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
        load_file(warehouse, "facts", write(tmp_path / "other.csv", [row]), existing="append")
    assert ("number" if "extra" not in row else "facts") in message_of(caught)


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
