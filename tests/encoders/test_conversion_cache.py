"""A network is converted once for a machine, and what is in the cache is used only as it was written."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest

from encoders.catalogue import lookup, parse
from encoders.compose import compose
from encoders.encoder import Encoded, Encoder
from encoders.load import _load, load
from encoders.runtimes import conversion_cache, conversion_key
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.privacy import Raw
from tests.encoders.test_runtimes import CATALOGUE
from tests.tiny_text_encoder import make_spec
from tests.tiny_towers import Towers

TEXTS = [b"where is my parcel", b"cat", b"two dogs and a bird " * 9]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache, which is on and empty."""
    monkeypatch.delenv("RAWLESS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rawless" / "encoders"


def start(spec: EncoderSpec) -> Encoder:
    """The encoder as a process gets it that has loaded none."""
    _load.cache_clear()
    return load(spec, "cpu")


def vectors(encoder: Encoder) -> list[bytes]:
    outcomes = encoder.encode([Raw(text) for text in TEXTS])
    return [outcome.vector.tobytes() for outcome in outcomes if isinstance(outcome, Encoded)]


def entry(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


def forbid_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("nothing is to be converted")

    monkeypatch.setattr(openvino, "convert_model", refuse)


@pytest.mark.parametrize("ref", CATALOGUE)
def test_an_encoder_is_converted_once_and_its_vectors_stay_the_same_bytes(
    ref: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold = start(lookup(ref))
    forbid_conversion(monkeypatch)
    warm = start(lookup(ref))
    assert warm is not cold
    assert warm.runtime == cold.runtime
    assert warm.runtime.startswith("OpenVINO")
    if ref.startswith("minilm"):
        assert len(vectors(cold)) == len(TEXTS)
        assert vectors(warm) == vectors(cold)
    shutil.rmtree(cache)
    assert start(lookup(ref)).runtime.startswith("torch")  # since conversion is really forbidden


@pytest.mark.full
@pytest.mark.parametrize("kind", ["composite", "defended", "tower"])
def test_what_is_added_to_a_network_is_converted_with_it(
    kind: str, tiny_spec: Callable[..., EncoderSpec], towers: Towers, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAWLESS_CACHE", "off")
    if kind == "composite":
        parts = [seal(tiny_spec(pooling=pooling)) for pooling in ("mean", "max")]
        spec = compose(parts, "both", "1.0.0", weights=[1, 2], normalise_parts=True, l2_normalise=False)
    elif kind == "defended":
        fields = {"dimension": 8, "l2_normalise": False, "defence": {"full_dimension": 16, "truncate": 8}}
        spec = seal(parse({**tiny_spec().model_dump(mode="json"), **fields}, "The spec"))
    else:
        spec = towers.text
    expected = start(spec).encode([Raw(text) for text in TEXTS])
    monkeypatch.setenv("RAWLESS_CACHE", "")
    cold = vectors(start(spec))
    forbid_conversion(monkeypatch)
    assert vectors(start(spec)) == cold
    for vector, outcome in zip(cold, expected, strict=True):
        assert isinstance(outcome, Encoded)
        np.testing.assert_allclose(np.frombuffer(vector, np.float32), outcome.vector, atol=spec.tolerance)


@pytest.mark.parametrize("umask", [0o002, 0o000])
def test_a_network_is_kept_where_others_may_change_new_files_by_default(
    umask: int, tiny_sealed: EncoderSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous = os.umask(umask)
    try:
        start(tiny_sealed)
    finally:
        os.umask(previous)

    assert {path.stat().st_mode & 0o077 for path in (cache, *cache.rglob("*"))} == {0}
    forbid_conversion(monkeypatch)
    assert start(tiny_sealed).runtime.startswith("OpenVINO")


def test_the_cache_is_readable_by_its_owner_only_and_contains_no_vector(tiny_sealed: EncoderSpec, cache: Path) -> None:
    encoder = start(tiny_sealed)
    found = vectors(encoder)
    assert {path.stat().st_mode & 0o777 for path in [cache, entry(cache)]} == {0o700}
    files = [*entry(cache).iterdir()]
    assert {path.name for path in files} == {"model.xml", "model.bin", "digests.json"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert not [path for path in files for vector in found if vector in path.read_bytes()]


def truncate(folder: Path) -> None:
    os.truncate(folder / "model.bin", 100)


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "model.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.bin").write_bytes(content)


def alter_the_graph(folder: Path) -> None:
    with (folder / "model.xml").open("a") as file:
        file.write(" ")


def break_the_digests(folder: Path) -> None:
    (folder / "digests.json").write_text("[]")


def remove_a_file(folder: Path) -> None:
    (folder / "model.bin").unlink()


def let_others_write(folder: Path) -> None:
    (folder / "model.bin").chmod(0o666)


def link_elsewhere(folder: Path) -> None:
    moved = (folder / "model.bin").rename(folder.parent.parent / "elsewhere")
    (folder / "model.bin").symlink_to(moved)


def make_it_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


@pytest.mark.full
@pytest.mark.parametrize(
    "change",
    [
        truncate,
        flip_a_bit,
        alter_the_graph,
        break_the_digests,
        remove_a_file,
        let_others_write,
        link_elsewhere,
        make_it_a_file,
    ],
)
def test_what_is_not_as_it_was_written_is_converted_anew(
    change: Callable[[Path], None], tiny_sealed: EncoderSpec, cache: Path
) -> None:
    expected = vectors(start(tiny_sealed))
    written = {path.name: path.read_bytes() for path in entry(cache).iterdir()}
    change(entry(cache))
    again = start(tiny_sealed)
    assert again.runtime.startswith("OpenVINO")
    assert vectors(again) == expected
    assert {path.name: path.read_bytes() for path in entry(cache).iterdir()}.keys() == written.keys()
    assert (entry(cache) / "model.bin").read_bytes() == written["model.bin"]
    assert not (entry(cache) / "model.bin").is_symlink()
    digests = json.loads((entry(cache) / "digests.json").read_text())
    found = {name: hashlib.sha256((entry(cache) / name).read_bytes()).hexdigest() for name in digests}
    assert digests == found
    assert len(found) == 2


@pytest.mark.full
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["model.bin", "."])
def test_what_belongs_to_another_user_is_converted_anew(name: str, tiny_sealed: EncoderSpec, cache: Path) -> None:
    start(tiny_sealed)
    os.chown(entry(cache) / name, 12345, 12345)
    assert start(tiny_sealed).runtime.startswith("OpenVINO")
    assert (entry(cache) / name).stat().st_uid == os.geteuid()


@pytest.mark.full
def test_a_network_of_other_vectors_is_replaced_though_its_digests_are_right(
    tiny_sealed: EncoderSpec, tiny_spec: Callable[..., EncoderSpec], cache: Path
) -> None:
    start(seal(tiny_spec(pooling="max")))
    other = entry(cache).rename(cache.parent / "other")
    expected = vectors(start(tiny_sealed))
    place = entry(cache)
    wrong = (other / "model.xml").read_bytes()
    shutil.rmtree(place)
    other.rename(place)
    assert vectors(start(tiny_sealed)) == expected
    assert (place / "model.xml").read_bytes() != wrong


def test_changed_weights_are_refused_though_the_network_was_converted(tiny_copy: Path, cache: Path) -> None:
    spec = seal(make_spec(tiny_copy))
    start(spec)
    content = bytearray((tiny_copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tiny_copy / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"is not the file that tiny@1\.0\.0 names"):
        start(spec)


def test_a_cache_that_cannot_be_written_is_no_error(
    tiny_sealed: EncoderSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.parent.write_text("a file, where the folder would be")
    assert start(tiny_sealed).runtime.startswith("OpenVINO")
    cache.parent.parent.unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    assert start(tiny_sealed).runtime.startswith("OpenVINO")
    assert [*cache.iterdir()] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_disk_that_is_full_while_it_is_written_leaves_nothing(
    tiny_sealed: EncoderSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = openvino.save_model

    def save_to_full_disk(model: object, path: Path, **options: object) -> None:
        path.with_suffix(".bin").symlink_to("/dev/full")
        save(model, path, **options)

    monkeypatch.setattr(openvino, "save_model", save_to_full_disk)
    assert start(tiny_sealed).runtime.startswith("OpenVINO")
    assert [*cache.iterdir()] == []


@pytest.mark.full
def test_what_was_not_used_for_longest_is_removed_first(
    tiny_spec: Callable[..., EncoderSpec], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [seal(tiny_spec(pooling=pooling)) for pooling in ("mean", "max", "cls")]
    places = []
    for number, spec in enumerate(specs[:2]):
        start(spec)
        (place,) = {*cache.iterdir()} - {*places}
        os.utime(place, (number, number))
        places.append(place)
    start(specs[0])  # now the second is older
    abandoned = cache / ".abandoned"
    abandoned.mkdir()
    os.utime(abandoned, (1, 1))
    size = sum(path.stat().st_size for path in places[0].iterdir())
    monkeypatch.setattr(conversion_cache, "MAX_BYTES", int(2.5 * size))
    start(specs[2])
    kept = {*cache.iterdir()}
    assert len(kept) == 2
    assert places[0] in kept
    assert places[1] not in kept


def test_a_network_larger_than_the_cache_is_not_kept(
    tiny_sealed: EncoderSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion_cache, "MAX_BYTES", 100)
    assert start(tiny_sealed).runtime.startswith("OpenVINO")
    assert [*cache.iterdir()] == []


def test_another_library_processor_or_code_is_another_place(
    tiny_sealed: EncoderSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = conversion_key.conversion_key(tiny_sealed)
    assert key == conversion_key.conversion_key(tiny_sealed)
    keys = {key}
    for name, change in {
        "_version": lambda name: "9" if name == "torch" else "",
        "_processor_flags": lambda: "avx1024",
        "_digest_of_code": lambda: "other",
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(conversion_key, name, change)
            conversion_key._machine.cache_clear()
            keys.add(conversion_key.conversion_key(tiny_sealed))
    conversion_key._machine.cache_clear()
    assert len(keys) == 4
    assert conversion_key.conversion_key(tiny_sealed.model_copy(update={"tolerance": 1e-4})) not in keys


def test_a_relative_cache_is_not_made_in_the_current_folder(
    tiny_sealed: EncoderSpec, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    start(tiny_sealed)
    assert not (tmp_path / "relative").exists()
    assert len([*(tmp_path / "user" / ".cache" / "rawless" / "encoders").iterdir()]) == 1


def test_the_cache_can_be_turned_off(tiny_sealed: EncoderSpec, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWLESS_CACHE", "off")
    assert start(tiny_sealed).runtime.startswith("OpenVINO")
    assert not cache.exists()
    monkeypatch.setenv("RAWLESS_CACHE", "/tmp/cache")
    with pytest.raises(UserError, match=r"RAWLESS_CACHE is '/tmp/cache', but must be 'off', or not set"):
        start(tiny_sealed)


_PROGRAM = """
import sys
from encoders.catalogue import parse
from encoders.load import load
from rawless.privacy import Raw
import json
spec = parse(json.loads(sys.argv[1]), "The spec")
encoder = load(spec, "cpu")
print(encoder.runtime, encoder.encode([Raw(b"where is my parcel")])[0].vector.tobytes().hex())
"""


@pytest.mark.full
def test_several_processes_at_once_get_the_same_vectors(tiny_sealed: EncoderSpec, cache: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, tiny_sealed.model_dump_json()]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    (output,) = outputs
    assert output.startswith("OpenVINO")
    expected = start(tiny_sealed).encode([Raw(b"where is my parcel")])[0]
    assert isinstance(expected, Encoded)
    assert np.frombuffer(bytes.fromhex(output.split()[-1]), np.float32).tobytes() == expected.vector.tobytes()
    assert len([*cache.iterdir()]) == 1
