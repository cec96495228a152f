"""Models of every family are imported with the vectors of their libraries."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, SiglipImageProcessor

from encoders.importing.importer import Imported, import_encoder
from encoders.importing.options import ImportOptions
from encoders.load import build
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.lifecycle.library_comparison import compare
from rawless.lifecycle.library_vectors import library_of
from tests import tiny_image_encoder, tiny_text_families, tiny_towers

PROMPTS = {"query": "two dogs: ", "passage": "paid: ", "clustering": "cat "}
SIDE = tiny_towers.SIDE
SQUARE = {"height": SIDE, "width": SIDE}
PROCESSORS = {
    "clip": CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE),
    "siglip": SiglipImageProcessor(size=SQUARE),
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("where is my parcel?\ncat\n" + "two dogs paid . " * 40 + "\n")
    return file


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of random pixels, one of them on its side, one that is none, and a hidden file."""
    folder = tmp_path_factory.mktemp("images")
    for number, size in enumerate([(60, 40, 3), (33, 33, 3), (50, 101, 4)]):
        pixels = np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)
        turned = Image.Exif()
        turned[0x0112] = 6 if number == 0 else 1
        Image.fromarray(pixels).save(folder / f"{number}.png", exif=turned)
    (folder / "none.jpg").write_bytes(b"not an image")
    (folder / ".hidden").write_bytes(b"")
    return folder


def checked(folder: Path, content: Path, **given: Any) -> Imported:
    """Import a folder, and check that the vectors of the content are those of the library."""
    options = ImportOptions(**given)
    imported = import_encoder(str(folder), "mine@1.0.0", options)
    found = compare(build(imported.spec, torch.device("cpu")), library_of(imported, options), content)
    assert (found.compared, found.agrees) == (3, True), found
    return imported


def said(imported: Imported, field: str) -> tuple[Any, str]:
    return imported.decisions.made[field].value, imported.decisions.made[field].origin


def saved(folder: Path, architecture: str, *modules: Any, padding: str = "right", **settings: Any) -> Path:
    """Save a tiny model with modules of sentence-transformers after it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    plain = tiny_text_families.write_model(folder / "plain", architecture, padding)
    whole = SentenceTransformer(
        modules=[Transformer(str(plain), max_seq_length=64), *modules], device="cpu", **settings
    )
    whole.save_pretrained(str(folder / "whole"))
    return folder / "whole"


def test_prompts_dense_modules_and_cut_vectors_of_texts(texts: Path, tmp_path: Path) -> None:
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.sentence_transformer.modules import Pooling

    modules = [Pooling(16, "weightedmean"), Dense(16, 12), Normalize()]
    folder = saved(tmp_path, "xlm-roberta", *modules, prompts=PROMPTS)
    imported = checked(folder, texts, dimension=8)

    prompts, origin = said(imported, "preprocessing.prompts")
    assert (prompts, origin) == (
        {"document": "paid: ", "query": "two dogs: "},
        "config_sentence_transformers.json",
    )
    assert said(imported, "pooling") == ("weighted_mean", "1_Pooling/config.json")
    assert said(imported, "dense") == ([{"folder": "2_Dense", "activation": "tanh"}], "modules.json")
    assert (said(imported, "full_dimension"), said(imported, "dimension")) == ((12, "modules.json"), (8, "--dimension"))
    assert said(imported, "preprocessing.max_tokens")[0] == 64
    assert "2_Dense/model.safetensors" in imported.spec.weights.files
    assert any("1 other prompts (clustering)" in each.what for each in imported.decisions.unmet)


def test_a_decoder_with_its_last_token_and_a_prompt_of_the_caller(texts: Path, tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = saved(tmp_path, "qwen3", Pooling(16, "lasttoken"), padding="left")
    imported = checked(folder, texts, prompt_document="paid for: ", max_tokens=20)

    assert said(imported, "preprocessing.padding") == ("left", "tokenizer_config.json")
    assert said(imported, "preprocessing.prompts") == ({"document": "paid for: ", "query": ""}, "--prompt-document")
    assert said(imported, "preprocessing.max_tokens") == (20, "--max-tokens")


def test_the_encoder_of_a_t5(texts: Path, tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    checked(saved(tmp_path, "t5", Pooling(16, "mean")), texts)


@pytest.mark.parametrize(
    ("architecture", "options", "pooling", "dimension"),
    [
        ("dinov2_with_registers", {"pooling": "cls_mean"}, "cls_mean", 64),
        ("vit", {"layer": 1}, "cls", 32),
        ("siglip_vision_model", {}, "pooler", 32),
        ("convnext", {"layer": 1, "pooling": "mean"}, "mean", 8),
    ],
)
def test_image_models(
    images: Path, tmp_path: Path, architecture: str, options: dict[str, Any], pooling: str, dimension: int
) -> None:
    folder = tiny_image_encoder.write_model(tmp_path, architecture)
    imported = checked(folder, images, **options)

    assert (said(imported, "pooling")[0], imported.spec.dimension) == (pooling, dimension)
    assert said(imported, "preprocessing.mean")[1] == "preprocessor_config.json"
    assert said(imported, "preprocessing.exif_orientation") == ("apply", "default")


def test_an_image_model_that_says_too_little_or_is_given_too_much_is_refused(tmp_path: Path) -> None:
    folder = tiny_image_encoder.write_model(tmp_path, "vit")
    for options, words in (
        ({"max_tokens": 9}, "--max-tokens was given, but the encoder takes images: leave it out."),
        ({"dimension": 9}, "--dimension was given, but only the vectors of text encoders can be cut: leave it out."),
        ({"layer": 9}, "has no vectors of the layer 9 by the pooling cls for images of 28 pixels"),
        ({"pooling": "middle"}, "pooling"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            import_encoder(str(folder), "mine@1.0.0", ImportOptions(**options))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=re.escape("has no preprocessor_config.json, so nothing says how")):
        import_encoder(str(folder), "mine@1.0.0", ImportOptions())


@pytest.fixture(params=["clip", "siglip"])
def towers(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkpoint of two towers, with its image processor."""
    folder = tiny_towers.write_checkpoint(tmp_path / "towers", request.param)
    PROCESSORS[request.param].save_pretrained(folder)
    return folder


def test_both_towers_of_a_checkpoint_are_imported_into_one_space(texts: Path, images: Path, towers: Path) -> None:
    text: EncoderSpec = checked(towers, texts, modality="text").spec
    image: EncoderSpec = checked(towers, images, modality="image").spec

    assert text.space == image.space
    with pytest.raises(UserError, match="say --modality image or --modality text, and import both"):
        import_encoder(str(towers), "mine@1.0.0", ImportOptions())
    with pytest.raises(UserError, match="--pooling was given, but the tower of a checkpoint"):
        import_encoder(str(towers), "mine@1.0.0", ImportOptions(modality="text", pooling="mean"))
