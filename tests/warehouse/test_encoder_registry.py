"""The registry of encoders: it answers an account that may read `encoder_v1` and run no query."""

from dataclasses import replace
from typing import Any, NoReturn

import pytest
from google.api_core.exceptions import Forbidden
from google.cloud import bigquery

from encoders.catalogue import lookup
from encoders.spec import EncoderSpec
from rawless.errors import Unavailable, UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import is_registered, register, registered


def _refuse(*_: object, **__: object) -> NoReturn:
    raise Forbidden("the account lacks bigquery.jobs.create")


def test_an_account_that_may_run_no_query_finds_an_encoder(
    new_warehouse: Warehouse, tiny_sealed: EncoderSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny_sealed.model_copy(update={"version": "9.0.0"})
    assert register(new_warehouse, tiny_sealed)
    assert register(new_warehouse, other)
    monkeypatch.setattr(bigquery.Client, "query", _refuse)

    assert is_registered(new_warehouse, tiny_sealed)
    assert not register(new_warehouse, tiny_sealed)
    assert registered(new_warehouse) == [tiny_sealed, other]
    assert registered(new_warehouse, other.name, "9.0.0") == [other]


@pytest.mark.parametrize("is_same", [True, False])
def test_of_two_encoders_that_are_registered_at_the_same_time_one_gets_the_version(
    new_warehouse: Warehouse, tiny_sealed: EncoderSpec, monkeypatch: pytest.MonkeyPatch, *, is_same: bool
) -> None:
    other = tiny_sealed if is_same else tiny_sealed.model_copy(update={"tolerance": tiny_sealed.tolerance / 2})
    run_in_turn = Warehouse.run_in_turn

    def register_other_first(self: Warehouse, *arguments: Any) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(Warehouse, "run_in_turn", run_in_turn)
            assert register(replace(self), other)
        return run_in_turn(self, *arguments)

    monkeypatch.setattr(Warehouse, "run_in_turn", register_other_first)
    if is_same:
        assert not register(new_warehouse, tiny_sealed)
    else:
        with pytest.raises(UserError, match="is registered with fingerprint"):
            register(new_warehouse, tiny_sealed)
    assert registered(new_warehouse) == [other]


def test_an_encoder_that_another_account_may_be_registering_is_reported(
    new_warehouse: Warehouse, tiny_sealed: EncoderSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Warehouse, "run_in_turn", lambda *_: None)
    with pytest.raises(Unavailable, match="Another account has just begun to register"):
        register(new_warehouse, tiny_sealed)


@pytest.mark.parametrize(
    ("field", "value", "version", "needed"),
    [
        ("training_domain", "other", "1.0.1", None),
        ("pooling", "cls", "1.0.1", "1.1.0"),
        ("pooling", "cls", "1.1.0", None),
        ("pooling", "cls", "1.9.0", None),
        ("architecture", "distilbert", "1.9.0", "2.0.0"),
        ("architecture", "distilbert", "2.0.0", None),
    ],
)
def test_a_version_that_understates_what_changed_is_refused(
    new_warehouse: Warehouse, tiny_sealed: EncoderSpec, field: str, value: str, version: str, needed: str | None
) -> None:
    register(new_warehouse, tiny_sealed)
    changed = tiny_sealed.model_copy(update={field: value, "version": version})
    if needed is None:
        assert register(new_warehouse, changed)
        return
    with pytest.raises(
        UserError, match=rf"{field} differ between tiny@1.0.0 and tiny@{version}.* needs version {needed} "
    ):
        register(new_warehouse, changed)
    assert registered(new_warehouse) == [tiny_sealed]


def test_a_version_between_two_others_understates_neither_step(
    new_warehouse: Warehouse, tiny_sealed: EncoderSpec
) -> None:
    register(new_warehouse, tiny_sealed)
    register(new_warehouse, tiny_sealed.model_copy(update={"version": "1.0.2"}))
    with pytest.raises(UserError, match=r"pooling differ between tiny@1.0.0 and tiny@1.0.1"):
        register(new_warehouse, tiny_sealed.model_copy(update={"version": "1.0.1", "pooling": "cls"}))


def test_a_version_of_the_catalogue_counts_although_nobody_registered_it(new_warehouse: Warehouse) -> None:
    with pytest.raises(UserError, match=r"pooling differ between minilm@1.0.0 and minilm@1.0.1"):
        register(new_warehouse, lookup("minilm@1.0.0").model_copy(update={"version": "1.0.1", "pooling": "cls"}))


def test_a_query_tower_fits_the_encoder_of_its_documents(
    new_warehouse: Warehouse, tiny_sealed: EncoderSpec, query_tower: EncoderSpec
) -> None:
    smaller = query_tower.model_copy(update={"name": "smaller", "dimension": 8})
    of_tower = query_tower.model_copy(update={"name": "again", "queries_of": query_tower.fingerprint})
    register(new_warehouse, tiny_sealed)
    assert register(new_warehouse, query_tower)

    with pytest.raises(UserError, match=r"smaller@1\.0\.0 has the dimension 8, but tiny@1\.0\.0, whose documents it"):
        register(new_warehouse, smaller)
    with pytest.raises(UserError, match=r"documents of again@1\.0\.0 is asks@1\.0\.0, which is a query tower"):
        register(new_warehouse, of_tower)
