"""What a look at a file proposes, and that only plain and frequent values leave it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rawless.errors import UserError
from rawless.events.patterns import explain_bad_pattern, matches
from rawless.scaffold.class_names import class_names
from rawless.scaffold.facts import facts_of, tells
from rawless.scaffold.id_pattern import id_pattern
from rawless.scaffold.plan import Plan, content_of, name_of, plan_from_rows, stream_of
from rawless.scaffold.plan import write as write_plan
from rawless.scaffold.proposal import Proposal, Role, check_attributes, check_role, propose
from rawless.scaffold.rows import read_rows

SECRET = "My mother's maiden name is Rosalind and my card is 4711"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows as a CSV file."""

    def write_csv(rows: list[dict[str, Any]], name: str = "tickets.csv") -> Path:
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*rows[0]])
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write_csv


def rows(**columns: Callable[[int], object]) -> list[dict[str, Any]]:
    """Sixty rows with a text, and what each column has in the row of a number."""
    text = {"message": lambda number: f"{SECRET}, says number {number}"}
    return [{name: value(number) for name, value in (text | columns).items()} for number in range(60)]


def looked_at(path: Path) -> Proposal:
    columns = facts_of(read_rows(path))
    return propose(columns, {})


def planned(path: Path, tmp_path: Path, **fields: Any) -> Plan:
    found = read_rows(path)
    columns = facts_of(found)
    content: dict[Role, str | None] = {"content": each} if (each := content_of(found)) else {}
    proposal = propose(columns, content, lambda one, other: tells(found, one, other))
    names = {"name": "tickets", "encoder": ("tiny@1.0.0", "tiny@1.0.0"), "folder": tmp_path / "made"}
    return plan_from_rows(found, columns, proposal, **{**names, "events": tmp_path / "events.jsonl", **fields})


def text_of(plan: Plan) -> str:
    """All files but the one with content, as one text."""
    files = {path: content for path, content in plan.files.items() if path != plan.events}
    return "\n".join((each if isinstance(each, bytes) else each.reveal()).decode() for each in files.values())


def test_columns_are_recognised_by_name_and_form(write: Write) -> None:
    path = write(
        rows(
            ticket=lambda n: f"T-{n:04d}",
            created=lambda n: f"2026-10-{n % 28 + 1:02d} 10:00:00",
            customer_id=lambda n: f"cust-{n % 9}",
            channel=lambda n: ["chat", "email"][n % 2],
            topic=lambda n: ["Payment due", "account", "app"][n % 3],
        )
    )

    assert looked_at(path) == Proposal("message", "ticket", "created", "customer_id", "topic", ("channel",))


def test_a_column_that_is_rare_long_or_a_number_of_a_customer_is_no_attribute(write: Write) -> None:
    path = write(
        rows(
            rare=lambda n: "b" if n == 7 else "a",
            many=lambda n: f"v{n % 30}",
            card=lambda n: ["4711081512", "4711081513"][n % 2],
            sentence=lambda n: ["I am ill and tired", "I am well"][n % 2],
            plan=lambda n: ["free", "gold"][n % 2],
        )
    )

    assert looked_at(path).attributes == ("plan",)
    columns = facts_of(read_rows(path))
    for name in ("rare", "many", "card", "sentence"):
        with pytest.raises(UserError, match=f"--attribute names {name}, but an attribute has"):
            check_attributes([name], columns)


def test_a_column_that_tells_the_label_is_not_stored_beside_the_embedding(write: Write, tmp_path: Path) -> None:
    path = write(
        rows(topic=lambda n: ["pay", "app"][n % 2], code=lambda n: ["p", "a"][n % 2], plan=lambda n: "fg"[n % 3 > 0])
    )

    assert [*planned(path, tmp_path).project.attributes] == ["plan"]


def test_no_content_is_in_what_is_made_but_in_the_file_of_events(write: Write, tmp_path: Path) -> None:
    path = write(
        rows(
            note=lambda n: f"{SECRET} {n}",
            customer_id=lambda n: f"Rosalind-{n % 9}",
            label=lambda n: ["yes", "no"][n % 2],
        )
    )

    plan = planned(path, tmp_path)

    made = text_of(plan) + " ".join([*plan.notes, *(word for each in plan.commands for word in each)]) + repr(plan)
    assert "Rosalind" not in made
    assert "4711" not in made
    assert "note" in made  # the names of columns are in the stream file
    assert plan.events is not None
    events = plan.files[plan.events].reveal().decode().splitlines()  # type: ignore[union-attr]
    assert json.loads(events[3])["text"] == f"{SECRET}, says number 3"
    assert json.loads(events[3])["subject_id"] == "Rosalind-3"
    assert [*json.loads(events[3])] == ["event_id", "occurred_at", "stream", "subject_id", "text"]


def test_rows_without_content_are_left_out_and_events_that_are_too_old_are_counted(
    write: Write, tmp_path: Path
) -> None:
    made = rows(date=lambda n: "2009-01-01" if n < 5 else "2026-01-01", label=lambda n: ["yes", "no"][n % 2])
    made[8]["message"] = " "

    plan = planned(write(made), tmp_path)

    assert any("1 rows have no message" in note for note in plan.notes)
    assert any(note.startswith("5 events occurred more than 3,640 days ago") for note in plan.notes)


def test_events_are_read_as_they_are_and_keep_their_stream(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [
        {"event_id": f"m-{n:03d}", "occurred_at": "2026-10-01T00:00:00Z", "stream": "support", "text": f"{SECRET} {n}",
         "attributes": {"channel": ["chat", "email"][n % 2]}, "label": ["yes", "no", None][n % 3]}
        for n in range(60)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_rows(path)

    plan = planned(path, tmp_path, name=stream_of(found), events=None)

    assert plan.events is None
    assert plan.commands[1][-1] == f"jsonl:{path}"
    assert (plan.project.name, plan.project.event_id) == ("support", r"m-\d{3}")
    assert [*plan.project.attributes] == ["channel"]
    labels = text_of(plan).splitlines()
    assert len([line for line in labels if line.startswith("m-0") and ",yes," in line]) == 20


def test_a_file_that_ingest_cannot_read_needs_a_file_for_its_events(write: Write, tmp_path: Path) -> None:
    path = write(rows(label=lambda n: ["yes", "no"][n % 2]))

    with pytest.raises(UserError, match=r"has no column event_id: name a file by --events FILE.jsonl"):
        planned(path, tmp_path, events=None)
    with pytest.raises(UserError, match="which is the source itself"):
        planned(path, tmp_path, events=path)


def test_parquet_with_lists_and_bytes_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    columns = {
        "text": pa.array([f"{SECRET} {n}" for n in range(20)]),
        "tags": pa.array([["a"]] * 20),
        "blob": pa.array([b"\x00\xff"] * 20, pa.binary()),
        "rating": pa.array([n % 2 for n in range(20)]),
        "score": pa.array([n / 7 for n in range(20)]),
    }
    pq.write_table(pa.table(columns), path)

    assert looked_at(path) == Proposal("text", attributes=("rating",))


def test_a_file_without_content_says_so(write: Write) -> None:
    path = write([{"a": n, "b": "x"} for n in range(20)])

    with pytest.raises(UserError, match="No column has content"):
        looked_at(path)


def test_a_wrong_column_is_answered_with_the_one_that_was_meant(write: Write) -> None:
    columns = facts_of(read_rows(write(rows(topic=lambda n: ["a", "b"][n % 2], when=lambda n: "soon"))))

    with pytest.raises(UserError, match=r"--label names 'topics', which is no column \(did you mean topic\?\)"):
        check_role("label", "topics", columns, "--label")
    with pytest.raises(UserError, match="--time names when, but its values are not times or dates"):
        check_role("time", "when", columns, "--time")


@pytest.mark.parametrize(
    ("ids", "pattern"),
    [
        (["msg-0001", "msg-0450"], r"msg-\d{4}"),
        (["1", "22", "333"], r"\d{1,3}"),
        (["a.1", "a.2"], r"a\.\d{1}"),
        (["018f3a52-9c1e-7b8a-9d2e-0c1f2e3d4b5a"] * 1, "uuid"),
        (["AnnaSmith", "BobJones"], "[A-Za-z]{8,9}"),
        (["a-1", "b2"], "[A-Za-z0-9-]{2,3}"),
        (["ann@example.com"], None),
        (["two words"], None),
        ([], None),
    ],
)
def test_ids_are_described_by_their_form(ids: list[str], pattern: str | None) -> None:
    assert id_pattern(ids) == pattern
    if pattern and pattern != "uuid":
        assert explain_bad_pattern(pattern) is None
        assert all(matches(pattern, each) for each in ids)


def test_values_become_names_of_classes_unless_two_become_the_same() -> None:
    assert class_names(["Rücksendung nötig", "ok"]) == {"Rücksendung nötig": "Rucksendung_notig", "ok": "ok"}
    assert class_names(["a b", "a_b"]) == {}
    assert class_names(["only"]) == {}
    assert class_names(["customer 471108", "other"]) == {}


@pytest.mark.parametrize(
    ("path", "name"), [("My Tickets.2026.csv", "my_tickets"), ("2026-10.csv", "data_2026_10"), ("ÄÖ.csv", "data")]
)
def test_a_file_name_becomes_a_name(path: str, name: str) -> None:
    assert name_of(Path(path)) == name


def test_a_column_of_dates_of_which_one_is_none_is_neither_times_nor_ids(write: Write, tmp_path: Path) -> None:
    path = write(rows(date=lambda n: f"2026-02-{n:02d}", label=lambda n: ["yes", "no"][n % 2]))

    assert (looked_at(path).time, looked_at(path).id) == (None, None)
    assert any(note.startswith("date is named like a time, but") for note in planned(path, tmp_path).notes)


def test_if_the_events_cannot_be_written_nothing_else_is(write: Write, tmp_path: Path) -> None:
    path = write(rows(label=lambda n: ["yes", "no"][n % 2]))
    plan = planned(path, tmp_path, events=path / "events.jsonl")

    with pytest.raises(UserError, match=r"events\.jsonl cannot be written"):
        write_plan(plan, force=False)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("field", "value", "fields"),
    [
        ("payload_base64", "iVBORw0KGgoAAAANSUhEUgAA", {"modality": "image", "uri_prefixes": ()}),
        ("uri", "gs://shop/photos/{n}.png", {"modality": "image", "uri_prefixes": ("gs://shop/photos/",)}),
        ("uri", "gs://shop/letters/{n}/a.txt", {"modality": "text", "uri_prefixes": ("gs://shop/letters/",)}),
    ],
)
def test_events_that_carry_or_name_objects_get_their_limits(
    tmp_path: Path, field: str, value: str, fields: dict[str, Any]
) -> None:
    path = tmp_path / "events.jsonl"
    event = {"occurred_at": "2026-10-01T00:00:00Z", "stream": "support"}
    lines = [event | {"event_id": f"m-{n:03d}", field: value.format(n=n), "label": "yn"[n % 2]} for n in range(60)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    project = planned(path, tmp_path, name="support", events=None).project

    assert {name: getattr(project, name) for name in fields} == fields


def test_texts_and_names_are_no_classes(write: Write) -> None:
    path = write(rows(person=lambda n: f"Rosalind {n}", label=lambda n: ["yes", "no"][n % 2]))
    columns = facts_of(read_rows(path))

    assert "Rosalind" not in repr(columns)
    for name in ("message", "person"):
        with pytest.raises(UserError, match=f"--label names {name}, but its values are not 2 to 1,000"):
            check_role("label", name, columns, "--label")


def test_a_value_that_few_rows_have_becomes_a_class_only_if_its_column_was_named(write: Write, tmp_path: Path) -> None:
    path = write(rows(label=lambda n: f"Rosalind {n}" if n < 3 else "refund"))
    columns = facts_of(read_rows(path))

    plan = planned(path, tmp_path)

    assert "Rosalind" not in text_of(plan)
    assert any("label is named like one, but has values in fewer than 5 rows" in note for note in plan.notes)
    assert propose(columns, {"label": check_role("label", "label", columns, "--label")}).label == "label"


def test_an_attribute_whose_name_may_be_content_is_neither_named_nor_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    attributes = {"channel": "chat", SECRET: "a", "x\nuri_prefixes: ['file:///']": "b"}
    event = {"occurred_at": "2026-10-01T00:00:00Z", "stream": "support", "text": SECRET, "attributes": attributes}
    path.write_text("".join(json.dumps(event | {"event_id": f"m-{n:03d}"}) + "\n" for n in range(20)))

    plan = planned(path, tmp_path, name="support", events=None)

    assert "Rosalind" not in text_of(plan) + " ".join(plan.notes)
    assert plan.project.uri_prefixes == ()
    assert "uri_prefixes" not in text_of(plan)
    assert plan.project.dropped == ("channel",)


def test_the_source_is_not_replaced_under_whatever_name(write: Write, tmp_path: Path) -> None:
    path = write(rows(label=lambda n: ["yes", "no"][n % 2]), "tickets_labels.csv")
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)

    with pytest.raises(UserError, match=r"names .*link\.jsonl, which is the source itself"):
        planned(path, tmp_path, events=link)
    with pytest.raises(UserError, match=r"tickets_labels\.csv is one of the files to write, and the source itself"):
        planned(path, tmp_path, folder=tmp_path)
