"""Pseudonyms: a person always has the same one under a key, and without the key it reveals nothing."""

import base64
import copy
import hashlib
import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawless.errors import UserError
from rawless.privacy.pseudonyms import KEY_VARIABLE, KeySource, PseudonymKey, create_key_file

SECRET = bytes(range(32))
OTHER = bytes(range(1, 33))


def _hmac_sha256(secret: bytes, message: bytes) -> str:
    """HMAC as RFC 2104 defines it."""
    block = (hashlib.sha256(secret).digest() if len(secret) > 64 else secret).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest()


def test_a_pseudonym_is_hmac_sha256_of_the_subject_id() -> None:
    # The output of openssl: printf customer-1 | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1e1f
    expected = "883065d6d27f751eeb8caef33a2a3b86ad820d61f50bc63abed50236bc2f0bee"
    assert PseudonymKey(SECRET).pseudonym("customer-1") == expected


@given(st.text())
def test_a_derived_secret_is_no_pseudonym(text: str) -> None:
    """Pseudonyms are visible to readers of the embeddings, and callers choose subject ids."""
    key = PseudonymKey(SECRET)

    assert key.derive(text).hex() != key.pseudonym(text)
    assert key.derive(text) == PseudonymKey(SECRET).derive(text) != PseudonymKey(OTHER).derive(text)


def test_a_pseudonym_agrees_with_the_test_vector_of_the_rfc() -> None:
    # RFC 4231, case 6: a key longer than a block.
    key = PseudonymKey(b"\xaa" * 131)
    expected = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    assert key.pseudonym("Test Using Larger Than Block-Size Key - Hash Key First") == expected


@given(st.binary(min_size=32, max_size=100), st.text())
def test_every_pseudonym_agrees_with_an_hmac_written_out(secret: bytes, subject_id: str) -> None:
    assert PseudonymKey(secret).pseudonym(subject_id) == _hmac_sha256(secret, subject_id.encode())


@given(st.text(), st.text())
def test_two_subjects_share_a_pseudonym_only_if_they_are_the_same(one: str, other: str) -> None:
    key = PseudonymKey(SECRET)
    assert (key.pseudonym(one) == key.pseudonym(other)) == (one == other)


@given(st.text())
def test_another_key_makes_another_pseudonym(subject_id: str) -> None:
    assert PseudonymKey(SECRET).pseudonym(subject_id) != PseudonymKey(OTHER).pseudonym(subject_id)


def test_the_key_id_is_the_same_wherever_the_key_is_read() -> None:
    assert PseudonymKey(SECRET).key_id == PseudonymKey(bytes(range(32))).key_id == "k5b30409b35897a0"


@given(st.binary(min_size=32, max_size=64), st.binary(min_size=32, max_size=64))
def test_two_keys_have_two_ids(one: bytes, other: bytes) -> None:
    same = one.rstrip(b"\0") == other.rstrip(b"\0")  # HMAC pads a key with zeros
    assert (PseudonymKey(one).key_id == PseudonymKey(other).key_id) == same


@pytest.mark.parametrize("subject_id", ["rawless pseudonym key id", "\xffrawless pseudonym key id", "", "key_id"])
def test_the_key_id_is_no_part_of_any_pseudonym(subject_id: str) -> None:
    key = PseudonymKey(SECRET)
    assert not key.pseudonym(subject_id).startswith(key.key_id[1:])


def test_the_key_id_is_an_hmac_of_bytes_that_no_subject_id_has() -> None:
    message = b"\xffrawless pseudonym key id"
    assert PseudonymKey(SECRET).key_id == "k" + _hmac_sha256(SECRET, message)[:15]
    with pytest.raises(UnicodeDecodeError):
        message.decode()


def test_the_key_id_reveals_nothing_of_the_key() -> None:
    key = PseudonymKey(SECRET)
    assert len(key.key_id) == 16
    assert key.key_id not in (SECRET.hex(), hashlib.sha256(SECRET).hexdigest()[:16])
    assert not {SECRET.hex()[start : start + 15] for start in range(50)} & {key.key_id[1:]}


def test_the_repr_shows_only_the_id() -> None:
    key = PseudonymKey(SECRET)
    assert repr(key) == str(key) == f"{key}" == f"PseudonymKey({key.key_id})"


@pytest.mark.parametrize("turn", [pickle.dumps, cloudpickle.dumps, copy.copy, copy.deepcopy])
def test_a_key_refuses_to_be_pickled(turn: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="refuses to be pickled"):
        turn(PseudonymKey(SECRET))
    with pytest.raises(TypeError, match="refuses to be pickled"):
        copy.deepcopy({"key": PseudonymKey(SECRET)})


def test_a_key_source_can_be_pickled_and_contains_no_key(key: KeySource) -> None:
    there = pickle.loads(pickle.dumps(key))
    assert there.load().key_id == key.load().key_id
    secret = Path(str(key.path)).read_text().strip()
    assert secret.encode() not in pickle.dumps(key)
    assert secret not in repr(key)


def test_a_key_file_is_readable_only_by_its_owner(tmp_path: Path) -> None:
    create_key_file(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_key_file_contains_256_random_bits(tmp_path: Path) -> None:
    for name in ("one", "other"):
        create_key_file(tmp_path / name)
    one, other = (base64.b64decode((tmp_path / name).read_text(), validate=False) for name in ("one", "other"))
    assert len(one) == len(other) == 32
    assert one != other


def test_creating_a_key_leaves_no_other_file(tmp_path: Path) -> None:
    create_key_file(tmp_path / "deep" / "er" / "key")
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["key"]


def test_creating_a_key_twice_keeps_the_first(tmp_path: Path) -> None:
    create_key_file(tmp_path / "key")
    first = (tmp_path / "key").read_bytes()
    create_key_file(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_threads_that_create_a_key_concurrently_agree_on_one(tmp_path: Path) -> None:
    path = tmp_path / "key"

    def make(_: int) -> str:
        create_key_file(path)
        return KeySource(path=str(path)).load().key_id

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(make, range(64)))) == 1


def test_processes_that_create_a_key_concurrently_agree_on_one(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom rawless.privacy.pseudonyms import KeySource, create_key_file\n"
        "sys.stdin.read()\n"  # all wait here until they are released together
        "create_key_file(pathlib.Path(sys.argv[1])); print(KeySource(path=sys.argv[1]).load().key_id)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "key")]
    makers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.close()
        maker.stdin = None
    ids = [maker.communicate(timeout=60)[0] for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 4
    assert len(set(ids)) == 1


def test_the_environment_has_precedence_over_the_file(key: KeySource, monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = key.load().key_id
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(SECRET).decode())
    assert key.load().key_id == PseudonymKey(SECRET).key_id != from_file
    assert KeySource(secret="projects/p/secrets/s/versions/1").load().key_id == PseudonymKey(SECRET).key_id


def test_an_empty_variable_counts_as_none(key: KeySource, monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = key.load().key_id
    monkeypatch.setenv(KEY_VARIABLE, "")
    assert key.load().key_id == from_file


def test_white_space_around_a_key_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"  {base64.b64encode(SECRET).decode()}\r\n\n")
    assert KeySource(path=str(tmp_path / "key")).load().key_id == PseudonymKey(SECRET).key_id


BAD_KEYS = {
    "31 bytes": base64.b64encode(SECRET[:31]),
    "a password": b"correct-horse-battery-staple-and-some-more-words",
    "base64 with a space in it": base64.b64encode(SECRET)[:20] + b" " + base64.b64encode(SECRET)[20:],
    "cut base64": base64.b64encode(OTHER)[:-2],
    "letters of another script": "пароль-пароль-пароль-пароль-пароль".encode(),
    "white space": b"   \n",
    "the bytes themselves": bytes(range(0xC0, 0xE0)),
    "UTF-16": base64.b64encode(OTHER).decode().encode("utf-16"),
}


@pytest.mark.parametrize("content", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_bad_key_file_is_refused_by_a_message_that_does_not_quote_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "the-key"
    path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        KeySource(path=str(path)).load()
    sentence = str(refused.value)
    assert sentence.startswith(f"The key file {path} must contain at least 32 random bytes in base64. Make one with:")
    assert "\n" not in sentence
    assert content.decode("latin-1").strip()[:8] not in sentence or not content.strip()
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("content", [content for content in BAD_KEYS.values() if b"\0" not in content], ids=str)
def test_a_bad_key_in_the_environment_is_refused_despite_a_good_file(
    content: bytes, key: KeySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environb, KEY_VARIABLE.encode(), content)
    with pytest.raises(UserError, match=f"^{KEY_VARIABLE} must contain at least 32 random bytes in base64") as refused:
        key.load()
    assert content.decode("latin-1").strip()[:8] not in str(refused.value) or not content.strip()


GUESSABLE_KEYS = {
    "zeros": bytes(32),
    "one letter": b"k" * 32,
    "a repeated word": b"password" * 4,
    "few bytes": bytes(range(15)) * 3,
    "a date": b"2026-11-01T00:00:00Z2026-11-01T00",
}


@pytest.mark.parametrize("secret", GUESSABLE_KEYS.values(), ids=GUESSABLE_KEYS.keys())
def test_a_key_that_is_not_random_is_refused(secret: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(secret).decode())
    with pytest.raises(UserError) as refused:
        KeySource().load()
    sentence = str(refused.value)
    assert sentence.startswith(f"{KEY_VARIABLE} has fewer than 16 distinct bytes, so it is not random. Make one with:")
    assert base64.b64encode(secret).decode() not in sentence


def test_a_key_of_16_distinct_bytes_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(bytes(range(16)) * 2).decode())
    assert KeySource().load().key_id == PseudonymKey(bytes(range(16)) * 2).key_id


@pytest.mark.parametrize("source", [KeySource(), KeySource(path="/no/such/key"), KeySource(path="/")])
def test_a_missing_key_is_reported_with_a_command_that_makes_one(source: KeySource) -> None:
    with pytest.raises(
        UserError,
        match=rf"There is no pseudonym key( \(no file .*\))?: set {KEY_VARIABLE} .* Make one with: python3 -c",
    ):
        source.load()


def test_the_command_in_the_message_makes_a_key_that_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as refused:
        KeySource().load()
    code = str(refused.value).partition("python3 -c ")[2].strip('"')
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    monkeypatch.setenv(KEY_VARIABLE, completed.stdout.strip())
    assert KeySource().load().key_id.startswith("k")
