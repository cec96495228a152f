"""A call that lacks a library names the extra that brings it, and hides no other fault of an import."""

import sys

import pytest

from rawless.api.installed import needs
from rawless.errors import UserError


def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # which makes Python raise as if it were not installed
    sentence = "Training heads needs onnx, which is not installed: run `pip install 'rawless[train]'`."

    with pytest.raises(UserError) as caught, needs("train", "Training heads"):
        import onnx  # noqa: F401
    assert str(caught.value) == sentence


def test_a_fault_of_an_installed_library_is_not_hidden() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"), needs("train", "Training heads"):
        from json import nothing  # type: ignore[attr-defined]  # noqa: F401
