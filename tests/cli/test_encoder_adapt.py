"""`rawless encoder adapt`: an encoder in another one's space from events that both embedded, or a refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.adapter_map import read_adapter
from encoders.catalogue import lookup
from encoders.load import load
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.connect import open_warehouse
from rawless.warehouse.append import append_all
from tests.shop import make_row

Rawless = Callable[..., Any]
EVENTS = 600
ROTATION, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((16, 16)))


@pytest.fixture
def target_file(tiny_spec: Callable[..., EncoderSpec], tmp_path: Path) -> Path:
    path = tmp_path / "target.yaml"
    path.write_text(seal(tiny_spec(name="target", pooling="cls")).model_dump_json())
    return path


@pytest.fixture
def stream(rawless: Rawless, tiny_sealed: EncoderSpec, target_file: Path) -> Callable[..., str]:
    """Logs events by both encoders, the second vector a rotation of the first, and returns the stream."""

    def log(name: str, order: Any = None) -> str:
        first = np.random.default_rng(2).standard_normal((EVENTS, 16))
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        second = (first @ ROTATION)[slice(None) if order is None else order]
        rows = []
        for spec, vectors in ((tiny_sealed, first), (lookup(str(target_file)), second)):
            own = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
            own |= {"stream": name, "modality": "text", "subject_key": None, "subject_key_id": None}
            rows += [
                make_row(number, {**own, "event_id": f"e-{number}", "embedding": vector.astype(np.float32)})
                for number, vector in enumerate(vectors)
            ]
        append_all(open_warehouse(None), rows)
        return name

    return log


def test_an_adapter_is_learned_sealed_and_shown_in_either_direction(
    rawless: Rawless, stream: Callable[..., str], tiny_file: Path, target_file: Path, tmp_path: Path
) -> None:
    name = stream("adapted")
    options = ("--stream", name, "--kind", "orthogonal", "--kind", "affine")
    out = tmp_path / "target-from-tiny@1.0.0.yaml"
    made = rawless(
        "encoder", "adapt", tiny_file, target_file, *options, "--as", "target-from-tiny@1.0.0", "--out", out, "--json"
    ).json
    shown = rawless("encoder", "show", out).out
    printed = rawless(
        "encoder", "adapt", target_file, tiny_file, *options, "--as", "back@1.0.0", "--out", tmp_path / "back.yaml"
    ).out

    spec = lookup(str(out))
    load(spec, "cpu")
    assert spec.adapter
    assert (spec.fingerprint, spec.adapter.target) == (made["fingerprint"], lookup(str(target_file)).fingerprint)
    assert np.abs(read_adapter(spec).weight - ROTATION.T).max() < 0.1
    assert made["chosen"] in ("orthogonal", "affine")
    assert [each["kind"] for each in made["kinds"]] == ["orthogonal", "affine"]
    assert made["kinds"][0]["recall@10"]["low"] > 0.9 > made["controls"]["vectors as they are"]["high"]
    assert (sum(made["events"].values()), made["heads"]) == (EVENTS, [])
    assert "datasets and services take them for these only if they say so" in shown
    assert "back@1.0.0 is sealed" in printed
    assert "(chosen)" in printed


def test_a_comparison_states_what_an_adapter_keeps_of_neighbours_and_refuses_one_of_other_encoders(
    rawless: Rawless, stream: Callable[..., str], tiny_file: Path, target_file: Path, tmp_path: Path
) -> None:
    name, out = stream("kept"), tmp_path / "kept@1.0.0.yaml"
    options = ("--stream", name, "--kind", "affine", "--as", "kept@1.0.0", "--out", out, "--json")
    made = rawless("encoder", "adapt", tiny_file, target_file, *options).json
    command = ("encoder", "compare", tiny_file, target_file, "--stream", name, "--adapter", out)
    found, shown = rawless(*command, "--json").json["adapter"], rawless(*command)
    sample = rawless(*command, "--rows", EVENTS, "--k", "5", "--json").json["adapter"]
    swapped = rawless("encoder", "compare", target_file, tiny_file, "--stream", name, "--adapter", out)
    plain = rawless("encoder", "compare", tiny_file, target_file, "--stream", name, "--adapter", tiny_file)

    assert (found["encoder"], found["k"], found["heads"]) == ("kept@1.0.0", 10, [])
    # On the events of the adapter's own test, and on no other.
    assert found["queries"] == made["events"]["test"]
    assert found["recall"] | {"name": None} == made["kinds"][0]["recall@10"] | {"name": None}
    assert found["unadapted"]["value"] == pytest.approx(made["controls"]["vectors as they are"]["value"])
    assert sample["recall"]["name"] == "recall@5"
    assert "raise --rows" in sample["note"]
    assert "raise --rows" not in found["note"]
    assert shown.code == 0
    assert found["note"] in " ".join(shown.out.split())
    assert "kept@1.0.0: " in shown.out
    assert (swapped.code, plain.code) == (2, 2)
    assert "which does not map target@1.0.0 to tiny@1.0.0: name the two encoders in the other order" in swapped.err
    assert "--adapter is tiny@1.0.0, which has no adapter" in plain.err


def test_an_adapter_that_its_test_does_not_confirm_is_refused_and_not_written(
    rawless: Rawless, stream: Callable[..., str], tiny_file: Path, target_file: Path, tmp_path: Path
) -> None:
    name = stream("shuffled", order=np.random.default_rng(3).permutation(EVENTS))
    out = tmp_path / "bad.yaml"
    refused = rawless(
        "encoder", "adapt", tiny_file, target_file, "--stream", name, "--kind", "affine", "--as", "bad@1.0.0",
        "--out", out, "--min-recall", "0",
    )  # fmt: skip

    assert refused.code == 2
    assert "is refused: its recall@10 is 0.0" in refused.err
    assert "affine" in refused.out  # the figures
    assert not out.exists()
    assert not out.with_suffix("").exists()
    unknown = rawless(
        "encoder", "adapt", tiny_file, target_file, "--stream", name, "--kind", "cubic", "--as", "a@1.0.0"
    )
    assert unknown.code == 2
    assert "--kind is 'cubic', but the kinds are orthogonal, affine, low_rank_affine, residual_mlp" in unknown.err
