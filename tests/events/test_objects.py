"""Objects by URI: which may be named, and that no name, link or race reads the bytes of anything else."""

import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.retry import retry_base, retry_unary
from hypothesis import given, settings
from hypothesis import strategies as st

from rawless.errors import Unavailable
from rawless.events.objects import MAX_URI, ObjectLocation, explain_bad_prefix, locate, read_file
from rawless.privacy import Reason, Rejected, guarded

SECRET = b"my card ends in 4711"
MARKER = "Rosalind-0815"


# --- prefixes


@pytest.mark.parametrize(
    "prefix",
    [
        "gs://b/",
        "gs://b/a/",
        "gs://b/a b/%2e%2e/",
        "file:///uploads/",
        "file:///a/b%20c/",
        "file:///Grüße/",
        "file:///%/",
    ],
)
def test_a_prefix_that_names_a_folder_is_accepted(prefix: str) -> None:
    assert explain_bad_prefix(prefix) is None


BAD_PREFIXES = {
    "must start with": [
        *(
            "",
            "/",
            "gs",
            "gs:",
            "gs://",
            "gs:/b/",
            "gs://b",
            "gs://b/a",
            "GS://b/",
            " gs://b/",
            "gs://b/ \n",
            "gs://b\0/",
        ),
        *("file:///a", "file:/a/", "FILE:///a/", "http://b/", "s3://b/", "b/", "/uploads/", "gs//b/", "gs://b/\udcff/"),
    ],
    "must name a folder by its absolute path": ["file://", "file:///", "file://host/a/", "file://a/", "file://./a/"],
    "must not contain empty names": [
        *("gs:///", "gs://b//", "gs://b/a//", "gs://b/./", "gs://b/../", "gs://../b/", "gs://b/a/../c/", "gs:////"),
        *("file:////", "file:///a//", "file:///a/./", "file:///a/../", "file:///a/%2e%2e/", "file:///a/%2E/"),
        *("file:///a%2fb/", "file:///a/%00/"),
    ],
}


@pytest.mark.parametrize(
    ("rule", "prefix"), [(rule, prefix) for rule, all_ in BAD_PREFIXES.items() for prefix in all_], ids=ascii
)
def test_any_other_prefix_is_refused_with_the_rule(rule: str, prefix: str) -> None:
    if prefix == "file://":
        rule = "must start with"
    assert str(explain_bad_prefix(prefix)).startswith(rule)


# --- URIs

FOLDER = "file:///uploads/"
BUCKET = "gs://bucket/folder/"

ALLOWED = {
    "file:///uploads/a.png": ObjectLocation("file", "/uploads/", ("a.png",)),
    "file:///uploads/b/c/a.png": ObjectLocation("file", "/uploads/", ("b", "c", "a.png")),
    "file:///uploads/b%20c/%C3%A4.png": ObjectLocation("file", "/uploads/", ("b c", "ä.png")),
    "file:///uploads/b c/ä.png": ObjectLocation("file", "/uploads/", ("b c", "ä.png")),
    "file:///uploads/%": ObjectLocation("file", "/uploads/", ("%",)),
    "file:///uploads/100%.png": ObjectLocation("file", "/uploads/", ("100%.png",)),
    "file:///uploads/%zz": ObjectLocation("file", "/uploads/", ("%zz",)),
    "file:///uploads/%ff": ObjectLocation("file", "/uploads/", ("\udcff",)),
    "file:///uploads/%252e%252e": ObjectLocation("file", "/uploads/", ("%2e%2e",)),  # decoded once
    "file:///uploads/a?b#c": ObjectLocation("file", "/uploads/", ("a?b#c",)),
    "file:///uploads/...": ObjectLocation("file", "/uploads/", ("...",)),
    "file:///uploads/.hidden": ObjectLocation("file", "/uploads/", (".hidden",)),
    "file:///uploads/a\\..\\b": ObjectLocation("file", "/uploads/", ("a\\..\\b",)),
    "gs://bucket/folder/a.png": ObjectLocation("gs", "bucket/folder/", ("a.png",)),
    "gs://bucket/folder/b/100% ä.png": ObjectLocation("gs", "bucket/folder/", ("b", "100% ä.png")),
    "gs://bucket/folder/%2e%2e/%2f": ObjectLocation(
        "gs", "bucket/folder/", ("%2e%2e", "%2f")
    ),  # names in a bucket are not decoded
}


@pytest.mark.parametrize(("uri", "location"), ALLOWED.items(), ids=ALLOWED)
def test_a_uri_below_a_prefix_is_located(uri: str, location: ObjectLocation) -> None:
    assert locate(uri, [BUCKET, FOLDER]) == location
    if location.scheme == "gs":
        assert location.uri == uri


FORBIDDEN = [
    "",
    "a.png",
    "/uploads/a.png",
    "file:/uploads/a.png",
    "file://uploads/a.png",
    "file://localhost/uploads/a.png",
    "file:///a.png",
    "file:///uploads",
    "file:///uploads/",
    "file:///uploadsa.png",
    "file:///uploads2/a.png",
    "file:///Uploads/a.png",
    "FILE:///uploads/a.png",
    "File:///uploads/a.png",
    " file:///uploads/a.png",
    "file:///etc/passwd",
    "file:///uploads/..",
    "file:///uploads/.",
    "file:///uploads/../etc/passwd",
    "file:///uploads/b/../a.png",
    "file:///uploads/b/..",
    "file:///uploads/./a.png",
    "file:///uploads//a.png",
    "file:///uploads//etc/passwd",
    "file:///uploads/b//a.png",
    "file:///uploads/b/",
    "file:///uploads/%2e%2e/etc/passwd",
    "file:///uploads/%2E%2E/etc/passwd",
    "file:///uploads/.%2e/etc/passwd",
    "file:///uploads/%2e",
    "file:///uploads/..%2fetc%2fpasswd",
    "file:///uploads/%2fetc%2fpasswd",
    "file:///uploads/%2F",
    "file:///uploads/b%2fa.png",
    "file:///uploads/a.png%00",
    "file:///uploads/a.png\0",
    "file:///uploads/a.png\n",
    "file:///uploads/a\tb",
    "file:///uploads/\u202egnp.a",
    "file:///uploads/\u2028",
    "file:///uploads/\ud800",
    "file:///uploads/\udcff",
    "file:///up%6coads/a.png",
    "file:///uploads/" + "a" * MAX_URI,
    "gs://bucket/folder",
    "gs://bucket/folder/",
    "gs://bucket/a.png",
    "gs://bucket/folder2/a.png",
    "gs://bucket/folder/../a.png",
    "gs://bucket/folder/./a.png",
    "gs://bucket/folder//a.png",
    "gs://bucket/folder/a.png/",
    "gs://bucket/folder/a\n.png",
    "gs://bucket2/folder/a.png",
    "gs://user@bucket/folder/a.png",
    "GS://bucket/folder/a.png",
    "gs:/bucket/folder/a.png",
    "gs://bucket/folder/" + "a" * MAX_URI,
    "http://bucket/folder/a.png",
    "https://storage.googleapis.com/bucket/folder/a.png",
    "http://169.254.169.254/computeMetadata/v1/",
    "s3://bucket/folder/a.png",
    "data:,a",
]


@pytest.mark.parametrize("uri", FORBIDDEN, ids=lambda uri: ascii(uri)[:60])
def test_any_other_uri_is_forbidden(uri: str) -> None:
    assert guarded(locate, uri, [BUCKET, FOLDER]) is Reason.PAYLOAD_URI_FORBIDDEN


def test_without_prefixes_every_uri_is_forbidden() -> None:
    assert guarded(locate, "file:///uploads/a.png", ()) is Reason.PAYLOAD_URI_FORBIDDEN


def test_the_longest_uri_is_allowed_and_one_character_more_is_not() -> None:
    uri = FOLDER + "a" * (MAX_URI - len(FOLDER))
    assert locate(uri, [FOLDER]).parts == ("a" * (MAX_URI - len(FOLDER)),)
    assert guarded(locate, uri + "a", [FOLDER]) is Reason.PAYLOAD_URI_FORBIDDEN


# --- reading below a root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with links of every kind, and a secret outside of it."""
    top = tmp_path_factory.mktemp("tree")
    root = top / "root"
    (root / "d/e").mkdir(parents=True)
    (top / "outside").mkdir()
    for secret in (top / "secret", top / "outside/secret", top / "outside/a"):
        secret.write_bytes(SECRET)
    for name in ("a", "d/a", "d/e/a", "ä b"):
        (root / name).write_bytes(b"good")
    links = {f"long{number}": f"long{number + 1}" for number in range(1500)} | {"long1500": "../secret"}
    links |= {"in": "a", "in_dir": "d", "in_whole": f"{root}/a", "in_chain": "in2", "in2": "d/in3", "d/in3": "../a"}
    links |= {"back": "../root/a", "detour": f"{root}/d/../a", "d/up": "../d/e", "self": "."}
    links |= {"out": "../secret", "out_whole": f"{top}/secret", "out_dir": "../outside", "out_dir_whole": str(top)}
    links |= {"out_chain": "out2", "out2": "d/out3", "d/out3": "../../secret", "out_root": "/", "up": ".."}
    links |= {"deep": "out_dir/secret", "loop": "loop", "ping": "pong", "pong": "ping", "loop_dir": "loop_dir/a"}
    links |= {"gone": "none", "gone_out": "../none", "gone_dir": "none/none", "proc": "/proc/self/environ"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe")
    return root


def _read(root: Path, name: str, limit: int = 100) -> bytes | Reason:
    return guarded(read_file, ObjectLocation("file", f"{root}/", tuple(name.split("/"))), limit)


@pytest.mark.parametrize(
    "name",
    ["a", "d/a", "d/e/a", "ä b", "in", "in_dir/a", "in_dir/e/a", "in_whole", "in_chain", "back", "detour", "d/up/a"],
)
def test_a_file_below_its_root_is_read_also_by_links_that_stay_there(name: str, tree: Path) -> None:
    assert _read(tree, name) == b"good"


@pytest.mark.parametrize(
    "name",
    [
        *("out", "out_whole", "out_dir/secret", "out_dir/a", "out_dir_whole/secret", "out_chain", "d/out3", "deep"),
        *("out_root/etc/passwd", "up/secret", "in_dir/out3", "loop", "ping", "loop_dir", "gone_out", "proc"),
        *("out_dir/none", "long0", "self"),
    ],
)
def test_a_link_that_leads_out_or_nowhere_is_not_read(name: str, tree: Path) -> None:
    assert _read(tree, name) is Reason.PAYLOAD_URI_FORBIDDEN


@pytest.mark.parametrize(
    "name", ["none", "none/none", "d", "d/e", "in_dir", "a/b", "in/b", "gone", "gone_dir", "pipe", "a" * 256, "\udcff"]
)
def test_anything_but_a_file_is_not_found(name: str, tree: Path) -> None:
    assert _read(tree, name) is Reason.OBJECT_NOT_FOUND


def test_the_root_itself_may_be_a_link_and_contain_escapes(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "the root").symlink_to(tree)
    location = locate(f"file://{tmp_path}/the%20root/d/a", [f"file://{tmp_path}/the%20root/"])
    assert read_file(location, 100) == b"good"


_names = st.sampled_from(
    [*("a", "d", "e", "in", "in_dir", "out", "out_dir", "out_dir_whole", "out_root", "up", "deep", "secret", "root"),
     *("..", ".", "", "%2e%2e", "..%2f", "%2f", "%252e%252e", "%00", "etc", "passwd", "outside", "self", "loop")]
)  # fmt: skip
_uris = st.lists(_names | st.text(max_size=4), max_size=7).map("/".join) | st.text(max_size=20)


@settings(max_examples=400)
@given(_uris, st.sampled_from(["", "root", "root/", "root/d/"]))
def test_no_name_reads_a_byte_from_outside_of_the_prefix(tree: Path, rest: str, start: str) -> None:
    folder = f"file://{tree.parent}/"
    prefixes = [f"{folder}root/"]
    location = guarded(locate, f"{folder}{start}{rest}", prefixes)
    if isinstance(location, Reason):
        assert location is Reason.PAYLOAD_URI_FORBIDDEN
        return
    assert location.root == f"{tree}/"
    assert location.parts
    below = os.path.normpath(tree.joinpath(*location.parts))
    assert below == f"{tree}/" + "/".join(location.parts)  # nothing to normalise away
    assert guarded(read_file, location, 100) in (b"good", Reason.OBJECT_NOT_FOUND, Reason.PAYLOAD_URI_FORBIDDEN)


@given(st.text(max_size=30) | st.text("gsfile:/.%b", max_size=20), st.sampled_from(["gs://b/", "gs://b/f/", FOLDER]))
def test_any_text_is_forbidden_or_below_its_prefix(text: str, prefix: str) -> None:
    for uri in (text, prefix + text):
        location = guarded(locate, uri, [prefix])
        if isinstance(location, Reason):
            assert location is Reason.PAYLOAD_URI_FORBIDDEN
        else:
            assert uri.startswith(prefix)
            assert not {"", ".", ".."} & set(location.parts)
            assert not [part for part in location.parts if "/" in part or "\0" in part]
            assert location.scheme == "file" or location.uri == uri


# --- races


@pytest.fixture
def racing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Returns a function that makes a root whose `sub` or `sub/a` is replaced by a link to a secret during a read."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub/a").write_bytes(b"good")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a").write_bytes(SECRET)

    def make(what: str, moment: str) -> Path:
        def swap() -> None:
            if not (root / what).is_symlink():
                (root / what).rename(tmp_path / "moved")
                (root / what).symlink_to(tmp_path / ("outside" if what == "sub" else "outside/a"))

        def opened(path: Any, *args: Any, **kwargs: Any) -> int:
            if os.fspath(path) == moment:
                swap()
            return real_open(path, *args, **kwargs)

        def resolved(path: Any, **kwargs: Any) -> str:
            resolved = real_path(path, **kwargs)
            if moment == "resolved" and os.fspath(path).endswith("/a"):
                swap()
            return resolved

        real_open, real_path = os.open, os.path.realpath
        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(os.path, "realpath", resolved)
        return root

    return make


@pytest.mark.parametrize(
    ("what", "moment"), [("sub", "resolved"), ("sub", "sub"), ("sub/a", "resolved"), ("sub/a", "sub"), ("sub/a", "a")]
)
def test_a_path_that_becomes_a_link_after_the_check_is_forbidden(
    what: str, moment: str, racing: Callable[[str, str], Path]
) -> None:
    root = racing(what, moment)
    assert _read(root, "sub/a") is Reason.PAYLOAD_URI_FORBIDDEN
    assert (root / what).is_symlink()


def test_a_folder_that_becomes_a_link_once_it_is_open_is_read_as_it_was(racing: Callable[[str, str], Path]) -> None:
    assert _read(racing("sub", "a"), "sub/a") == b"good"


@pytest.mark.parametrize("call", ["readlink", "lstat"])
def test_a_link_that_is_deleted_during_the_check_is_not_an_internal_error(
    call: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Any, *args: Any, **kwargs: Any) -> Any:
        if os.fspath(path).endswith("/in"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return real(path, *args, **kwargs)

    real = getattr(os, call)
    monkeypatch.setattr(os, call, gone)
    assert _read(tree, "in") in (Reason.OBJECT_NOT_FOUND, Reason.PAYLOAD_URI_FORBIDDEN)


# --- limits


@pytest.mark.parametrize(("size", "read"), [(0, 0), (9, 9), (10, 10), (11, 11), (12, 11), (5000, 11)])
def test_at_most_one_byte_more_than_the_limit_is_read(size: int, read: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * size)
    assert _read(tmp_path, "a", 10) == b"a" * read


def test_a_huge_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 34)
    tracemalloc.start()
    try:
        assert _read(tmp_path, "a", 1000) == bytes(1001)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_no_descriptor_stays_open(tree: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("a", "d/e/a", "out", "none", "a/b", "d", "pipe", "loop"):
        _read(tree, name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- a store that is unavailable


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """Actions that replace the waits for a store, in order; the clock advances as if it waited."""
    happenings: list[Callable[[], Any]] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += max(seconds, 1.0)
        if happenings:
            happenings.pop(0)()

    time = SimpleNamespace(sleep=sleep, monotonic=lambda: clock[0])
    for module in (retry_base, retry_unary):
        monkeypatch.setattr(module, "time", time)
    return happenings


def _nothing() -> None:
    """Does nothing during a wait."""


def test_a_missing_root_is_unavailable_after_retries(tmp_path: Path, waits: list[Callable[[], Any]]) -> None:
    waits += [_nothing] * 3
    with pytest.raises(
        Unavailable,
        match=rf"^The folder {tmp_path}/none/, .* cannot be opened \(FileNotFoundError\); run again when it can\.$",
    ):
        _read(tmp_path / "none", MARKER)
    assert waits == []  # it was read at least four times


def test_a_root_that_comes_back_in_time_is_read(tmp_path: Path, waits: list[Callable[[], Any]]) -> None:
    (tmp_path / "unmounted").mkdir()
    (tmp_path / "unmounted/a").write_bytes(b"good")
    waits += [_nothing, lambda: (tmp_path / "unmounted").rename(tmp_path / "root")]
    assert _read(tmp_path / "root", "a") == b"good"


def test_a_missing_object_is_rejected_without_retries(tree: Path, waits: list[Callable[[], Any]]) -> None:
    waits.append(lambda: pytest.fail("It was read again."))
    assert _read(tree, "none") is Reason.OBJECT_NOT_FOUND
    assert _read(tree, "out") is Reason.PAYLOAD_URI_FORBIDDEN


@pytest.mark.parametrize("number", [5, 13, 23, 24, 116], ids=["EIO", "EACCES", "ENFILE", "EMFILE", "ESTALE"])
@pytest.mark.parametrize("where", ["root", "folder", "object"])
def test_a_store_that_cannot_be_read_is_unavailable_and_no_object_is_refused(
    where: str, number: int, tmp_path: Path, waits: list[Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits.append(_nothing)
    root = tmp_path / "root"
    (root / MARKER).mkdir(parents=True)
    (root / MARKER / f"{MARKER}.png").write_bytes(b"good")
    broken = {"root": str(root), "folder": MARKER, "object": f"{MARKER}.png"}[where]

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(path, str | Path) and os.fspath(path) == broken:
                raise OSError(number, "broken", path)
            return real(path, *args, **kwargs)

        return call

    for name in ("open", "stat"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    with pytest.raises(Unavailable) as raised:
        _read(root, f"{MARKER}/{MARKER}.png")
    assert MARKER not in str(raised.value)
    assert raised.value.__context__ is None
    assert waits == []  # it was read again


@pytest.mark.parametrize("number", [1, 5, 13], ids=["EPERM", "EIO", "EACCES"])
def test_one_object_that_cannot_be_read_is_rejected_after_retries(
    number: int, tmp_path: Path, waits: list[Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits.append(_nothing)
    (tmp_path / "a").mkdir()
    for name in ("a/bad", "a/bad too", "a/good", "alone"):
        (tmp_path / name).write_bytes(b"good")
    real = os.open

    def opened(path: Any, *args: Any, **kwargs: Any) -> int:
        if os.fspath(path) in ("bad", "bad too", "alone"):
            raise OSError(number, "broken", path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", opened)
    assert _read(tmp_path, "a/bad") is Reason.OBJECT_UNREADABLE
    assert waits == []  # it was read again
    assert _read(tmp_path, "a/good") == b"good"
    with pytest.raises(Unavailable):
        _read(tmp_path, "alone")


def test_a_root_that_is_deleted_before_it_is_opened_rejects_no_object(
    tmp_path: Path, waits: list[Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"good")

    def opened(path: Any, *args: Any, **kwargs: Any) -> int:
        if os.fspath(path) == str(root):
            shutil.rmtree(root, ignore_errors=True)
        return real(path, *args, **kwargs)

    real = os.open
    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(Unavailable):
        _read(root, "a")


def test_a_rejection_does_not_contain_the_place(tree: Path) -> None:
    for name in (f"{MARKER}/a", MARKER, f"out_dir/{MARKER}"):
        with pytest.raises(Rejected) as raised:
            read_file(ObjectLocation("file", f"{tree}/", tuple(name.split("/"))), 100)
        assert MARKER not in str(raised.value) + repr(raised.value)
        assert raised.value.__cause__ is None
