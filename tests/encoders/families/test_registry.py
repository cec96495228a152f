"""Finding the family of a spec by its architecture, without importing model libraries."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from encoders import catalogue, families
from encoders.families.huggingface_text import HuggingFaceTextSpec
from encoders.spec import EncoderSpec


def test_each_module_of_the_folder_is_one_family() -> None:
    modules = {path.stem for path in Path(families.__file__).parent.glob("*.py")} - {"__init__"}
    assert {family.spec.__module__ for family in families.all_families()} == {
        f"encoders.families.{name}" for name in modules
    }
    assert {"huggingface_image", "huggingface_text", "torchvision_image"} <= modules


@pytest.mark.parametrize("ref", catalogue.refs())
def test_a_spec_of_the_catalogue_has_the_spec_class_of_its_family(ref: str) -> None:
    spec = catalogue.lookup(ref)
    assert type(spec) is families.family_of(spec).spec


def test_no_two_families_of_a_modality_name_one_architecture() -> None:
    names = [(family.modality, name) for family in families.all_families() for name in family.architectures]
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


def _take_encoder_modules() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "encoders"]
    return {name: sys.modules.pop(name) for name in names}


@pytest.fixture
def _no_encoder_modules() -> Iterator[None]:
    """A process that has imported none of the encoders; its other modules stay, since importing torch takes seconds."""
    modules = _take_encoder_modules()
    yield
    _take_encoder_modules()
    sys.modules.update(modules)


@pytest.mark.usefixtures("_no_encoder_modules")
def test_loading_a_text_encoder_imports_no_image_code(tiny_sealed: EncoderSpec) -> None:
    import_module("encoders.load").load(tiny_sealed, "cpu")
    assert "encoders.text_model" in sys.modules
    assert "encoders.image_model" not in sys.modules
