"""A call that lacks a library names the extra that brings it, and hides no other fault of an import."""

import pytest

from rawless.api.installed import needs
from rawless.errors import UserError


def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    sentence = "Training heads needs not_installed_here: run `pip install 'rawless[train]'`."

    with pytest.raises(UserError) as caught, needs("train", "Training heads"):
        import not_installed_here.part  # type: ignore[import-not-found]  # noqa: F401
    assert str(caught.value) == sentence


def test_a_fault_of_an_installed_library_is_not_hidden() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"), needs("train", "Training heads"):
        from json import nothing  # type: ignore[attr-defined]  # noqa: F401
