"""Finding the family of a spec by its architecture, without importing model libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

from encoders import catalogue, families
from encoders.families.huggingface_text import HuggingFaceTextSpec


def test_each_module_of_the_folder_is_one_family() -> None:
    modules = {path.stem for path in Path(families.__file__).parent.glob("*.py")} - {"__init__"}
    assert {family.spec.__module__ for family in families.all_families()} == {
        f"encoders.families.{name}" for name in modules
    }
    assert {"huggingface_text", "torchvision_resnet"} <= modules


@pytest.mark.parametrize("ref", catalogue.refs())
def test_a_spec_of_the_catalogue_has_the_spec_class_of_its_family(ref: str) -> None:
    spec = catalogue.lookup(ref)
    assert type(spec) is families.family_of(spec).spec


def test_no_two_families_name_one_architecture() -> None:
    names = [name for family in families.all_families() for name in family.architectures]
    assert len(set(names)) == len(names)


def test_an_architecture_that_no_family_names_belongs_to_the_open_family_of_its_modality() -> None:
    text = families.find("a-new-model", "text")
    assert text is not None
    assert text.spec is HuggingFaceTextSpec
    assert families.find("a-new-model", "image") is None


_PARSE_ALL = """
import sys
from encoders import catalogue
for ref in catalogue.refs():
    catalogue.lookup(ref)
print(sorted({"torch", "torchvision", "transformers", "encoders.batch_encoder"} & set(sys.modules)))
"""


def test_parsing_specs_imports_no_model_library() -> None:
    result = subprocess.run([sys.executable, "-c", _PARSE_ALL], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


_LOAD_TEXT = """
import sys, torch
from encoders.catalogue import lookup
from encoders.load import build
build(lookup("minilm@1.0.0"), torch.device("cpu"))
print("encoders.image_model" in sys.modules)
"""


def test_loading_a_text_encoder_imports_no_image_code() -> None:
    result = subprocess.run([sys.executable, "-c", _LOAD_TEXT], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
