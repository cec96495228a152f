"""`rawless encoder compose`: one sealed spec of several encoders, which streams and commands take like any other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from tests.streams import ANY_ID
from tests.tiny_towers import Towers

Rawless = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.full
def test_encoders_are_composed_and_the_result_is_shown_compared_and_ingested(
    rawless: Rawless, folder: Path, tiny_file: Path, tiny_spec: Callable[..., EncoderSpec], write_events: Any
) -> None:
    (folder / "inner.yaml").write_text(tiny_spec(name="inner", layer=1).model_dump_json())

    done = rawless("encoder", "compose", tiny_file, "inner.yaml", "--as", "two@1.0.0", "--weights", "1,0.5")

    spec, file = lookup("two@1.0.0.yaml"), Path("two@1.0.0.yaml")
    assert f"two@1.0.0 is sealed in {file}: dimension 32, fingerprint {spec.fingerprint}." in done.out
    shown = rawless("encoder", "show", file).out
    fingerprint = lookup(str(tiny_file)).fingerprint
    assert f"components 0 to 15: tiny@1.0.0, of length one, times 1; its fingerprint is {fingerprint}\n" in shown
    assert "components 16 to 31: inner@1.0.0, of length one, times 0.5; its fingerprint is " in shown
    rawless("encoder", "compose", tiny_file, "inner.yaml", "--as", "two@1.1.0", "--weights", "1,2")
    differences = rawless("encoder", "diff", file, "two@1.1.0.yaml", "--json").json
    assert (differences["bump"], [each["field"] for each in differences["changes"]]) == (
        "minor",
        ["tolerance", "parts.1.weight"],
    )
    stream = {"stream": "message", "modality": "text", "encoders": [str(file)], "event_id": ANY_ID, "subject": "none"}
    Path("stream.yaml").write_text(json.dumps(stream))
    events = write_events({"event_id": "e-1", "text": "where is my cat"}, {"event_id": "e-2", "text": ""})
    assert rawless("encoder", "register", file).code == 0
    found = rawless("ingest", "--stream", "stream.yaml", "--source", f"jsonl:{events}", "--json").json
    assert (found["embeddings"], found["rejections"]) == (1, {"empty_text": 1})
    refused = rawless("encoder", "saliency", file, "--file", events)
    assert (refused.code, refused.err) == (
        2,
        "Error: two@1.0.0 is a composite of several encoders: name the encoder of one of its parts.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["TINY"], "A composite has two encoders or more: name another."),
        (["TINY", "TINY", "--weights", "1,a"], "--weights is '1,a', but the rule is: numbers, as in 1,0.5."),
        (["TINY", "TINY", "--weights", "1"], "--weights has 1 numbers, but there are 2 encoders"),
        (["TINY", "TINY", "--weights", "1,0"], "parts.1.weight is 0.0, but the rule is"),
        (["TINY", "resnet18-seeded@1.0.0"], "resnet18-seeded@1.0.0 takes image, but the composite takes text"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_composed_is_refused_in_one_sentence(
    rawless: Rawless, tiny_file: Path, arguments: list[str], message: str
) -> None:
    given = [str(tiny_file) if each == "TINY" else each for each in arguments]
    done = rawless("encoder", "compose", *given, "--as", "two@1.0.0")

    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("two@1.0.0.yaml").exists()


def test_what_takes_contents_of_one_modality_refuses_encoders_and_streams_of_parts(
    rawless: Rawless, folder: Path, towers: Towers, tiny_file: Path, write_events: Any
) -> None:
    for name, tower in (("image", towers.image), ("text", towers.text)):
        (folder / f"{name}.yaml").write_text(tower.model_dump_json())
    options = ["--as", "post@1.0.0", "--reads", "photo,caption", "--missing", "reject"]
    assert rawless("encoder", "compose", "image.yaml", "text.yaml", *options).code == 0
    stream = {"stream": "post", "modality": "parts", "parts": {"photo": "image", "caption": "text"}, "subject": "none"}
    Path("stream.yaml").write_text(json.dumps(stream | {"encoders": ["post@1.0.0.yaml"]}))
    Path("wrong.yaml").write_text(json.dumps(stream | {"encoders": [str(tiny_file)]}))
    Path("fewer.yaml").write_text(json.dumps(stream | {"encoders": ["post@1.0.0.yaml"], "parts": {"photo": "image"}}))
    events = str(write_events({"text": "x"}))

    shown = rawless("stream", "check", "stream.yaml").out
    refused = {
        "which --source does not have": ("encoder", "compare", *["post@1.0.0.yaml"] * 2, "--source", f"jsonl:{events}"),
        "the encoder reads the parts of an event": (
            "audit",
            "leakage",
            "--encoder",
            "post@1.0.0.yaml",
            "--aux",
            events,
        ),
        "for which there are no canaries": ("audit", "canary", "--stream", "stream.yaml"),
        "The modality of stream post is parts": ("stream", "check", "wrong.yaml"),
        "reads the part caption, of text, but": ("stream", "check", "fewer.yaml"),
    }

    assert "The part caption: text, of at most 1,000,000 bytes.\n" in shown
    for message, arguments in refused.items():
        done = rawless(*arguments)
        assert (done.code, message in done.err) == (2, True), done.err
