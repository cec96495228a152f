"""Objects in a bucket: listed by pattern, and read in the generation that was listed, one request a part."""

import logging
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawless.errors import Unavailable, UserError
from rawless.events import cloud_objects
from rawless.events.cloud_objects import (
    CHUNK,
    CloudObject,
    ObjectNotFound,
    ObjectPattern,
    download,
    forget_client,
    list_objects,
    open_object,
    parse_pattern,
    read_object,
)
from rawless.events.find_files import find_files, matches
from rawless.events.objects import UnreadableObject
from rawless.privacy.boundary import guarded
from tests.object_server import Store, Stored

WHERE = "gs://bucket/2026/*"
MARKER = "Rosalind-0815"


def listed(pattern: str) -> list[CloudObject]:
    return list(list_objects(parse_pattern(pattern, "--source"), pattern))


def only(store: Store, content: bytes) -> CloudObject:
    store.put("2026/a", content)
    [found] = listed("gs://bucket/2026/*")
    return found


# --- listing


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("2026/*.gz", ["2026/a.gz", "2026/ä.gz"]),
        ("2026/*", ["2026/a.gz", "2026/b", "2026/ä.gz"]),
        ("*/a.gz", ["2025/a.gz", "2026/a.gz"]),
        ("**/*.gz", ["2025/a.gz", "2026/a.gz", "2026/x/y/c.gz", "2026/ä.gz", "top.gz"]),
        ("**", ["2025/a.gz", "2026/a.gz", "2026/b", "2026/x/y/c.gz", "2026/ä.gz", "top.gz"]),
        ("2026/**/*.gz", ["2026/a.gz", "2026/x/y/c.gz", "2026/ä.gz"]),
        ("2026/a.gz", ["2026/a.gz"]),
        ("202?/a.gz", ["2025/a.gz", "2026/a.gz"]),
        ("2026/.hidden", ["2026/.hidden"]),
        ("2026/a", []),
    ],
)
def test_a_pattern_names_the_same_objects_as_files(pattern: str, expected: list[str], store: Store) -> None:
    store.page_size = 2
    for name in ("2026/b", "2026/a.gz", "2025/a.gz", "2026/x/y/c.gz", "2026/ä.gz", "2026/.hidden", "2026/", "top.gz"):
        store.put(name, name.encode())
    found = listed(f"gs://bucket/{pattern}")
    assert [each.name for each in found] == expected
    assert [each.size for each in found] == [len(name.encode()) for name in expected]
    assert [each.generation for each in found] == [store.objects[f"bucket/{name}"].generation for name in expected]


_part = st.sampled_from(["a", "b.gz", ".c", "*", "**", "a*", "?", "[ab]", ".*"])


@given(st.lists(_part, min_size=1, max_size=4))
def test_names_match_as_find_files_matches_paths(tmp_path_factory: pytest.TempPathFactory, pattern: list[str]) -> None:
    root = tmp_path_factory.getbasetemp() / "tree"
    paths = ["a", "b.gz", ".c", "d/a", "d/e/b.gz", "d/.c/a", "d/e/f/a", "ab/ab"]
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    assert {path for path in paths if matches(path.split("/"), pattern)} == set(find_files(str(root), pattern))


def test_objects_below_other_folders_are_not_listed(store: Store) -> None:
    store.page_size = 10
    for number in range(100):
        store.put(f"2026/photos/{number}", b"")
    store.put("2026/a.jsonl", b"{}")
    assert [each.name for each in listed("gs://bucket/2026/*.jsonl")] == ["2026/a.jsonl"]
    assert len(store.asked) == 1


def test_a_name_with_the_characters_of_a_pattern_is_found(store: Store) -> None:
    store.put("a[1].jsonl", b"")
    assert [each.name for each in listed("gs://bucket/a[1].jsonl")] == ["a[1].jsonl"]


@pytest.mark.parametrize(
    "text", ["gs://", "gs://bucket", "gs://bucket/", "gs://bucket/a/", "gs:///a", "gs://*/a", "gs://B/a", "gs://b b/a"]
)
def test_a_text_that_names_no_objects_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^--source names .*, but must name objects as gs://BUCKET/NAME, .*\.$"):
        parse_pattern(text, "--source")


@pytest.mark.parametrize(("status", "kind"), [(403, "Forbidden"), (404, "NotFound")])
def test_a_bucket_that_may_not_be_listed_is_a_mistake_of_the_user(status: int, kind: str, store: Store) -> None:
    store.list_status = status
    with pytest.raises(UserError) as refused:
        listed(WHERE)
    assert str(refused.value) == (
        f"The objects of {WHERE} cannot be listed ({kind}): check the name of the bucket, and grant the account of the "
        "job the role roles/storage.objectViewer on it."
    )
    assert refused.value.__cause__ is refused.value.__context__ is None


def test_a_bucket_that_cannot_be_listed_now_is_unavailable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_objects, "RETRY_SECONDS", 0.1)
    store.list_status = 503
    with pytest.raises(Unavailable, match=r"^The objects of gs://bucket/2026/\* cannot be listed \(RetryError\)"):
        listed(WHERE)


# --- reading


@given(st.data())
def test_a_file_object_reads_what_the_object_contains(data: st.DataObject) -> None:
    content = data.draw(st.binary(max_size=200))
    found = CloudObject("bucket", "a", 1, len(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud_objects, "CHUNK", data.draw(st.integers(1, 64)))
        patch.setattr(cloud_objects, "download", lambda b, n, w, start, end, g: content[start:end])
        start = data.draw(st.integers(0, 200))
        with open_object(found, WHERE, start, data.draw(st.integers(1, 64))) as file:
            assert file.read() == content[start:]
            for _ in range(3):
                offset, size = data.draw(st.integers(0, 210)), data.draw(st.integers(0, 64))
                file.seek(offset)
                assert file.tell() == offset
                assert file.read(size) == content[offset : offset + size]


def test_a_large_object_is_read_in_few_requests_of_bounded_size(store: Store) -> None:
    content = random.Random(1).randbytes(3 * CHUNK)
    found = only(store, content)
    with open_object(found, WHERE) as file:
        assert b"".join(iter(lambda: file.read(100_000), b"")) == content
    assert len(store.asked) == 1 + 5 + 3  # 256 KiB, doubled to 8 MiB


def test_a_small_object_and_an_expected_part_take_one_request(store: Store) -> None:
    found = only(store, b"content")
    with open_object(found, WHERE) as file:
        assert file.read() == b"content"
    with open_object(found, WHERE, 2, 3) as file:
        assert file.read(3) == b"nte"
    assert len(store.asked) == 3


def test_an_empty_object_is_read_without_a_request(store: Store) -> None:
    found = only(store, b"")
    with open_object(found, WHERE) as file:
        assert file.read() == b""
    assert len(store.asked) == 1
    assert download("bucket", "2026/a", WHERE, 0, 10) == b""


@pytest.mark.parametrize("change", ["changed", "deleted"])
def test_an_object_that_changes_after_it_was_listed_is_unavailable(change: str, store: Store) -> None:
    found = only(store, b"content")
    del store.objects["bucket/2026/a"]
    if change == "changed":
        store.put("2026/a", b"CONTENT")
    with open_object(found, WHERE) as file, pytest.raises(Unavailable) as raised:
        file.read()
    assert str(raised.value) == f"{WHERE}: an object was changed or deleted after it was listed; run again."
    assert raised.value.__context__ is None


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_store_that_recovers_is_read(status: int, store: Store) -> None:
    store.put("2026/a", b"content" * 100, media_status=[status, status, 200], cut=2)
    [found] = listed(WHERE)
    assert read_object(found, WHERE) == b"content" * 100


@pytest.mark.parametrize(("status", "kind"), [(403, UnreadableObject), (412, UnreadableObject), (503, Unavailable)])
def test_an_object_that_cannot_be_read_is_unavailable_without_its_name(
    status: int,
    kind: type[Unavailable],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(cloud_objects, "RETRY_SECONDS", 0.1)
    store.put(f"2026/{MARKER}", b"content", media_status=[status])
    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable) as raised:
        read_object(listed(WHERE)[0], WHERE)
    assert type(raised.value) is kind
    assert raised.value.__context__ is None
    assert MARKER not in str(raised.value) + caplog.text
    assert caplog.records  # the log was captured


@pytest.mark.parametrize("status", [400, 404])
def test_an_object_that_does_not_exist_is_not_found(status: int, store: Store) -> None:
    store.put("there", b"", media_status=[400])
    name = "there" if status == 400 else "elsewhere"
    with pytest.raises(ObjectNotFound):
        download("bucket", name, WHERE, 0, 10)


def test_an_object_stored_as_compressed_is_not_inflated(store: Store) -> None:
    store.objects["bucket/a"] = Stored(b"\x1f\x8b", encoding="gzip")
    assert download("bucket", "a", WHERE) == b"\x1f\x8b"


def test_threads_share_connections_and_each_object_takes_one_request(store: Store) -> None:
    for number in range(200):
        store.put(f"2026/{number}", b"%d" % number)
    connections = []
    accept = store.process_request
    store.process_request = lambda *request: (connections.append(1), accept(*request))[1]  # type: ignore[method-assign]
    store.latency = 0.005
    with ThreadPoolExecutor(32) as pool:
        read = list(pool.map(lambda number: download("bucket", f"2026/{number}", WHERE, 0, 100), range(200)))
    assert read == [b"%d" % number for number in range(200)]
    assert len(store.asked) == 200
    assert len(connections) <= 32


def test_no_thread_is_left_and_nothing_but_the_object_is_requested(store: Store) -> None:
    found = only(store, b"content")
    before = set(threading.enumerate())
    assert read_object(found, WHERE) == b"content"
    assert [path for path in store.asked if "/o/" not in path and "/o?" not in path] == []
    assert [each for each in set(threading.enumerate()) - before if "process_request" not in each.name] == []


@pytest.mark.parametrize("variable", ["STORAGE_EMULATOR_HOST", "API_ENDPOINT_OVERRIDE"])
def test_an_emulator_on_another_machine_is_never_asked(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_client()
    monkeypatch.setenv(variable, "http://192.0.2.1:9")
    with pytest.raises(UserError, match=f"^{variable} is .* must name an emulator on this machine"):
        listed(WHERE)
    with pytest.raises(Unavailable, match=f"^{variable} is .* must name an emulator on this machine"):
        guarded(download, "bucket", MARKER, WHERE)


def test_the_prefix_of_a_pattern_ends_before_the_first_wildcard() -> None:
    prefixes = {"a/b*/c": "a/", "*": "", "a/b": "a/b", "**/a": "", "a/b/**": "a/b/"}
    assert {name: ObjectPattern("bucket", name).prefix for name in prefixes} == prefixes
