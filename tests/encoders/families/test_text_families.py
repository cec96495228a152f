"""Text models of many types: vectors equal those of sentence-transformers for every pooling, padding and prompt."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import yaml
from pydantic import ValidationError

from encoders.bake import bake
from encoders.catalogue import parse
from encoders.encoder import Encoded, Encoder, Role
from encoders.families.huggingface_text import HuggingFaceTextSpec
from encoders.load import build
from encoders.seal import seal
from encoders.weight_sources.hugging_face import HuggingFaceHub
from rawless.errors import UserError
from rawless.privacy import Raw, Reason
from tests.tiny_text_encoder import make_spec
from tests.tiny_text_families import MODELS, write_model

TEXTS = ["my cat", "where is my parcel paid for two dogs ?", "bird", "is my dog two cats 7 ? . x", "cat " * 60]
"""The last one is cut off."""
MAX_TOKENS = 24
MODES = {"mean": "mean", "cls": "cls", "max": "max", "last_token": "lasttoken", "weighted_mean": "weightedmean"}
"""The names of sentence-transformers for the values of `pooling`."""
PROMPT = "two dogs paid: "
ROLES: list[tuple[Role, str]] = [("document", ""), ("query", PROMPT)]
CPU = torch.device("cpu")
Vectors = npt.NDArray[np.float32]


def vectors(encoder: Encoder, texts: list[str], role: Role = "document") -> Vectors:
    outcomes = encoder.encode([Raw(text.encode()) for text in texts], role=role)
    assert all(isinstance(outcome, Encoded) for outcome in outcomes)
    return np.stack([outcome.vector for outcome in outcomes if isinstance(outcome, Encoded)])


def smallest_cosine(one: Vectors, other: Vectors) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())


def edit(file: Path, **changes: Any) -> None:
    """Change fields of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Path]]:
    """A folder with the model of a type, whose tokenizer pads on a side; do not modify it."""
    root = tmp_path_factory.mktemp("families")

    def folder(architecture: str, padding: str) -> Path:
        path = root / f"{architecture}-{padding}"
        return path if path.exists() else write_model(path, architecture, padding)

    yield folder
    shutil.rmtree(root)


def spec_of(folder: Path, architecture: str, *, padding: str = "right", prompts: Any = None, **fields: Any) -> Any:
    preprocessing = {"max_tokens": MAX_TOKENS, "padding": padding, "prompts": prompts or {}}
    return make_spec(folder, architecture=architecture, preprocessing=preprocessing, **fields)


CASES = [
    pytest.param(architecture, padding, pooling, marks=() if (row + column) % 10 == 0 else pytest.mark.full)
    for row, architecture in enumerate(MODELS)
    for column, (padding, pooling) in enumerate(
        (padding, pooling) for pooling in MODES for padding in ("left", "right")
    )
]
"""Every model type, side and pooling; one case of each model type outside of the full test run."""


@pytest.mark.parametrize(("architecture", "padding", "pooling"), CASES)
def test_vectors_equal_those_of_sentence_transformers(
    folders: Callable[[str, str], Path], architecture: str, padding: str, pooling: str
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    folder = folders(architecture, padding)
    transformer = Transformer(str(folder), max_seq_length=MAX_TOKENS)
    assert transformer.tokenizer.padding_side == padding
    reference = SentenceTransformer(modules=[transformer, Pooling(16, MODES[pooling])], device="cpu")
    # Where a model counts positions from the left end of the batch, the library's vectors depend on it if padded left.
    size = 1 if padding == "left" and architecture in ("bert", "distilbert", "mpnet", "gpt2") else len(TEXTS)
    fields = {"padding": padding, "prompts": {"query": PROMPT}, "pooling": pooling, "l2_normalise": False}
    encoder = build(spec_of(folder, architecture, **fields), CPU)
    for role, prompt in ROLES:
        expected = reference.encode(TEXTS, prompt=prompt, batch_size=size, show_progress_bar=False)
        assert smallest_cosine(vectors(encoder, TEXTS, role), expected) >= 0.99999, role


@pytest.mark.parametrize("architecture", ["bert", "qwen3"])
def test_a_vector_does_not_depend_on_the_batch(folders: Callable[[str, str], Path], architecture: str) -> None:
    spec = spec_of(folders(architecture, "left"), architecture, padding="left", pooling="last_token")
    encoder = build(spec, CPU)
    encoder.accelerate()
    assert encoder.runtime.startswith("OpenVINO")
    short, long = (encoder.prepare(Raw(text.encode())) for text in TEXTS[:2])
    (alone,) = encoder._runtime(*encoder.inputs([short]))
    for batch, position in (([short, long], 0), ([long, short, long], 1)):
        assert np.abs(encoder._runtime(*encoder.inputs(batch))[position] - alone).max() <= spec.tolerance


def test_another_prompt_pooling_or_padding_is_another_encoder(folders: Callable[[str, str], Path]) -> None:
    plain = spec_of(folders("bert", "right"), "bert")
    others = {
        "pooling": spec_of(folders("bert", "right"), "bert", pooling="max"),
        "document": spec_of(folders("bert", "right"), "bert", prompts={"document": PROMPT}),
        "query": spec_of(folders("bert", "right"), "bert", prompts={"query": PROMPT}),
        "padding": spec_of(folders("bert", "left"), "bert", padding="left"),
    }
    sealed = {name: seal(spec) for name, spec in {"plain": plain, **others}.items()}
    assert len({spec.fingerprint for spec in sealed.values()}) == len(sealed)
    encoders = {name: build(spec, CPU) for name, spec in sealed.items()}
    expected = vectors(encoders["plain"], TEXTS[:1])
    for name, role in (("pooling", "document"), ("document", "document"), ("query", "query")):
        assert smallest_cosine(vectors(encoders[name], TEXTS[:1], role), expected) < 0.99, name  # type: ignore[arg-type]
    # A text alone has no padding, and no other vector in a batch.
    assert np.array_equal(vectors(encoders["padding"], TEXTS[:1]), expected)
    assert np.array_equal(vectors(encoders["query"], TEXTS[:1]), expected)


def test_the_side_of_padding_and_of_cutting_off_is_that_of_the_tokenizer(
    folders: Callable[[str, str], Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"says preprocessing\.padding right, but its tokenizer_config\.json says left"):
        seal(spec_of(folders("bert", "left"), "bert"))
    cuts_start = Path(shutil.copytree(folders("bert", "right"), tmp_path / "copy"))
    edit(cuts_start / "tokenizer_config.json", truncation_side="left")
    with pytest.raises(UserError, match="cuts off the start of a long text"):
        seal(spec_of(cuts_start, "bert"))


@pytest.mark.parametrize("prompt", ["", PROMPT])
def test_a_text_of_nothing_but_its_prompt_is_empty(folders: Callable[[str, str], Path], prompt: str) -> None:
    encoder = build(spec_of(folders("bert", "right"), "bert", prompts={"document": prompt}), CPU)
    outcomes = encoder.encode([Raw(text.encode()) for text in ("", " ", "\u200b", "\u200b\u200b" * 40, "a")])
    assert outcomes[:-1] == [Reason.EMPTY_TEXT] * 4
    assert isinstance(outcomes[-1], Encoded)


def test_a_prompt_counts_as_tokens(folders: Callable[[str, str], Path]) -> None:
    encoder = build(spec_of(folders("bert", "right"), "bert", prompts={"document": "cat " * 10}), CPU)
    outcomes = encoder.encode([Raw(b"dog " * 12), Raw(b"dog " * 13)])
    assert [isinstance(each, Encoded) and each.truncated for each in outcomes] == [False, True]
    with pytest.raises(UserError, match=r"prompts\.query takes 24 or more of the 24 tokens of max_tokens: shorten"):
        build(spec_of(folders("bert", "right"), "bert", prompts={"query": "cat " * 30}), CPU)


@pytest.fixture(scope="module")
def projected(folders: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 encoder with two modules Dense, saved by sentence-transformers with its prompts."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    folder = tmp_path_factory.mktemp("projected") / "model"
    with torch.random.fork_rng():
        torch.manual_seed(3)
        dense = [Dense(16, 24), Dense(24, 12, bias=False, activation_function=torch.nn.Identity())]
    modules = [Transformer(str(folders("t5", "right")), max_seq_length=MAX_TOKENS), Pooling(16), *dense, Normalize()]
    prompts = {"query": PROMPT, "document": "where is "}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder), create_model_card=False)
    return folder


DENSE = [{"folder": "2_Dense", "activation": "tanh"}, {"folder": "3_Dense", "activation": "identity"}]
PROMPTS = {"document": "where is ", "query": PROMPT}


def projected_spec(folder: Path, **fields: Any) -> Any:
    files = dict.fromkeys(
        ["model.safetensors", "config.json", "2_Dense/model.safetensors", "3_Dense/model.safetensors"]
    )
    whole = {"weights": {"source": f"path:{folder}", "files": files}, "dense": DENSE, "dimension": 12}
    return spec_of(folder, "t5", **({"prompts": PROMPTS} | whole | fields))


@pytest.mark.parametrize("dimension", [12, 5])
def test_modules_after_pooling_and_truncated_dimensions_equal_sentence_transformers(
    projected: Path, dimension: int
) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(projected), device="cpu", truncate_dim=dimension)
    shorter = {"dimension": dimension, "full_dimension": 12} if dimension < 12 else {}
    sealed = seal(projected_spec(projected, **shorter))
    encoder = build(sealed, CPU)
    options = {"normalize_embeddings": True, "show_progress_bar": False}
    for role, encode in (("document", reference.encode_document), ("query", reference.encode_query)):
        found = vectors(encoder, TEXTS, role)  # type: ignore[arg-type]
        assert found.shape == (len(TEXTS), dimension)
        assert smallest_cosine(found, encode(TEXTS, **options)) >= 0.99999
        assert np.abs(np.linalg.norm(found, axis=1) - 1).max() <= 1e-5


SAYS_LESS: dict[str, tuple[dict[str, Any], str]] = {
    "dense": ({"dense": DENSE[:1], "dimension": 24}, "modules Dense 2_Dense (tanh), 3_Dense (identity) of sentence-"),
    "no-dense": ({"dense": [], "dimension": 16}, "but its spec says none: correct dense."),
    "activation": ({"dense": [DENSE[0], DENSE[1] | {"activation": "relu"}]}, "says 2_Dense (tanh), 3_Dense (relu)"),
    "order": ({"dense": DENSE[::-1]}, "but its spec says 3_Dense (identity), 2_Dense (tanh): correct dense."),
    "dimension": (
        {"dimension": 5},
        "says dimension 5, but its weights have 12: correct the spec, or add full_dimension",
    ),
    "full": (
        {"dimension": 5, "full_dimension": 11},
        "says full_dimension 11, but its weights have 12: correct the spec.",
    ),
    "normalise": ({"l2_normalise": False}, "normalises its vectors (modules.json): set l2_normalise to true."),
    "document": ({"prompts": {"query": "?"}}, "set preprocessing.prompts.document to 'where is '."),
    "query": ({"prompts": {"document": "?"}}, f"set preprocessing.prompts.query to {PROMPT!r}."),
}


@pytest.mark.parametrize("name", SAYS_LESS)
def test_what_the_folder_asks_for_and_the_spec_does_not_say_is_refused(projected: Path, name: str) -> None:
    fields, words = SAYS_LESS[name]
    with pytest.raises(UserError) as refused:
        seal(projected_spec(projected, **fields))
    assert words in str(refused.value)


CANNOT_SAY: dict[str, tuple[str, dict[str, Any], str]] = {
    "residual": ("2_Dense/config.json", {"use_residual": True}, "a residual connection"),
    "input": ("2_Dense/config.json", {"module_input_name": "token_embeddings"}, "or another input"),
    "softmax": ("2_Dense/config.json", {"activation_function": "torch.nn.Softmax"}, "with the activation Softmax"),
    "include-prompt": ("1_Pooling/config.json", {"include_prompt": False}, "leaves the prompt out of its pooling"),
}


@pytest.mark.parametrize("name", CANNOT_SAY)
def test_what_a_spec_cannot_say_is_refused(projected: Path, tmp_path: Path, name: str) -> None:
    file, changes, words = CANNOT_SAY[name]
    folder = Path(shutil.copytree(projected, tmp_path / "copy"))
    edit(folder / file, **changes)
    with pytest.raises(UserError, match=words):
        seal(projected_spec(folder))


def test_a_sealed_encoder_is_loaded_and_baked_with_its_folders(
    projected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = seal(projected_spec(projected))
    weights = sealed.weights.model_copy(update={"source": "hf:owner/projected"})
    monkeypatch.setattr(HuggingFaceHub, "caches", lambda *_: iter([projected]))
    hub = sealed.model_copy(update={"weights": weights})
    (baked,) = bake(hub, tmp_path)
    assert (baked / "3_Dense" / "model.safetensors").is_file()
    (baked / "3_Dense" / "model.safetensors").write_bytes((baked / "2_Dense" / "model.safetensors").read_bytes())
    monkeypatch.setenv("RAWLESS_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match=r"3_Dense/model\.safetensors is not the file that tiny@1\.0\.0 names"):
        build(hub, CPU)


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "file": ({"weights": {"source": "path:x", "files": {"model.safetensors": None}}}, "add 2_Dense/model.safetensors"),
    "full": ({"full_dimension": 12}, "full_dimension is 12, but must exceed dimension, 12"),
    "folder": ({"dense": [{"folder": "../2_Dense", "activation": "tanh"}]}, "folder"),
    "deep": ({"weights": {"source": "path:x", "files": {"a/../model.safetensors": None}}}, "a/../model.safetensors"),
    "pickle": (
        {"weights": {"source": "path:x", "files": {"model.safetensors": None, "2_Dense/pytorch_model.bin": None}}},
        "2_Dense/pytorch_model.bin could run code when it is loaded",
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    fields, words = FIELDS[name]
    with pytest.raises(ValidationError) as refused:
        projected_spec(tmp_path, **fields)
    assert words in str(refused.value)


def test_a_model_of_texts_and_images_is_refused_by_name(folders: Callable[[str, str], Path], tmp_path: Path) -> None:
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    folder = Path(shutil.copytree(folders("bert", "right"), tmp_path / "copy"))
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = ChineseCLIPConfig(text_config=small, vision_config=small | {"image_size": 32})
    ChineseCLIPModel(config).save_pretrained(folder)
    with pytest.raises(UserError, match="is of the model type chinese_clip, which is not one text model: use an"):
        seal(spec_of(folder, "chinese_clip"))


PAGE = Path(__file__).parents[3] / "docs" / "texts.md"
DOCUMENTED = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", DOCUMENTED, ids=lambda text: text.split()[1])
def test_the_documented_specs_are_valid(text: str) -> None:
    spec = parse(yaml.safe_load(text), "docs/texts.md")
    assert isinstance(spec, HuggingFaceTextSpec)
    assert not spec.sealed
