"""`rawless head import` registers a model that was trained elsewhere, without an encoder."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rawless.heads.session import open_head
from rawless.local.stack import Stack
from tests.cli.conftest import Outcome
from tests.heads.foreign import LABELS, PLAIN, ROWS, from_scikit_learn, spec, written
from tests.shop import Shop

Rawless = Callable[..., Outcome]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A classifier trained with scikit-learn."""
    return from_scikit_learn(tmp_path / "model.onnx", LogisticRegression().fit(ROWS, LABELS), zipmap=False)


def test_a_model_becomes_a_head_that_predicts(rawless: Rawless, model: Path, tmp_path: Path) -> None:
    encoder, file = spec(tmp_path)
    arguments = ("head", "import", model, "--encoder", file, "--as", "foreign", "--classes", "a,b,c", "--json")
    first, second = rawless(*arguments).json, rawless(*arguments).json
    listed = rawless("head", "list", "--encoder", file, "--json").json
    shown = rawless("head", "show", "foreign", "--json").json

    assert (first["version"], second["version"]) == (1, 2)
    assert first["tensors"] == [
        {"tensor": "input", "name": "X", "type": "float32", "shape": [None, 8], "becomes": "embedding"},
        {
            "tensor": "output",
            "name": "probabilities",
            "type": "float32",
            "shape": [None, 3],
            "becomes": "probabilities",
        },
        {"tensor": "label", "name": "label", "type": "int64", "shape": [None], "becomes": None},
    ]
    assert [each["head"] for each in listed] == ["foreign@2", "foreign@1"]
    assert (shown["kind"], shown["classes"], shown["fingerprint"]) == ("imported", ["a", "b", "c"], encoder.fingerprint)
    answer = open_head(Path(second["folder"])).answer(embedding=ROWS)["probabilities"]
    np.testing.assert_array_equal(answer.argmax(1), LogisticRegression().fit(ROWS, LABELS).predict(ROWS))


def test_the_printed_output(rawless: Rawless, shop: Shop) -> None:
    encoder, file = spec(shop.folder)
    shop.upload(range(120), stream="eight", encoder="eight", encoder_fingerprint=encoder.fingerprint)
    shop.build(dataset="judged_on", stream="eight", encoder="eight@1.0.0")
    arguments = ("head", "import", written(shop.folder / "model.onnx", PLAIN), "--encoder", file, "--as", "read_in")
    done = rawless(*arguments, "--classes", "cat,dog", "--snapshot", "judged_on")

    assert done.code == 0
    for words in ("[rows, 8]", "embedding", "weights", "Imported read_in@1 over eight@1.0.0", "cat, dog", "accuracy"):
        assert words in done.out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--encoder": "minilm@1.0.0"}, "vectors of this encoder have 384 values"),
        ({"--encoder": "nothing@1.0.0"}, "The encoder 'nothing@1.0.0' is unknown"),
        ({"--encoder": "resnet50@1.0.0"}, "is not sealed"),
        ({"--classes": "a,b"}, "There are 2 class names, but the model"),
        ({"--as": "../up"}, "The name '../up' is not 1 to 63"),
        ({"--snapshot": "nothing"}, "There is no snapshot and no dataset 'nothing'"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(
    rawless: Rawless, model: Path, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    options = {"--encoder": str(spec(tmp_path)[1]), "--as": "wrong"} | changes
    refused = rawless("head", "import", model, *(part for option in options.items() for part in option))

    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.splitlines()) == 1


_IMPORT = """
import sys
from rawless.cli.main import run
code = run(["head", "import", *sys.argv[1:]])
print(code, sorted({"encoders.batch_encoder", "encoders.networks", "torchvision", "transformers"} & set(sys.modules)))
"""


def test_importing_loads_no_encoder(stack: Stack, home: Path, model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _IMPORT, str(model), "--encoder", str(spec(tmp_path)[1]), "--as", "alone"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "0 []"
