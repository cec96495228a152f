"""The registry of encoders: it answers an account that may read `encoder_v1` and run no query."""

from typing import NoReturn

import pytest
from google.api_core.exceptions import Forbidden
from google.cloud import bigquery

from encoders.spec import EncoderSpec
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import is_registered, register, registered


def _refuse(*_: object, **__: object) -> NoReturn:
    raise Forbidden("the account lacks bigquery.jobs.create")


def test_an_account_that_may_run_no_query_finds_an_encoder(
    new_warehouse: Warehouse, tiny_sealed: EncoderSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bigquery.Client, "query", _refuse)
    other = tiny_sealed.model_copy(update={"version": "9.0.0"})

    assert not is_registered(new_warehouse, tiny_sealed)
    assert register(new_warehouse, tiny_sealed)
    assert register(new_warehouse, other)

    assert not register(new_warehouse, tiny_sealed)
    assert registered(new_warehouse) == [tiny_sealed, other]
    assert registered(new_warehouse, other.name, "9.0.0") == [other]
