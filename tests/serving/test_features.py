"""Features that a caller sends reach the head, and no head answers without them."""

import hashlib
import json
from typing import Any

import httpx
import numpy as np
import pytest

from encoders.load import load
from rawless.errors import UserError
from rawless.heads.features import HeadFeature
from rawless.heads.session import open_head
from rawless.serving.app import Role
from rawless.serving.features import bounded
from rawless.serving.remote import TOKEN_VARIABLE
from rawless.serving.responses import Problem
from tests.serving.conftest import Bench, vector_of

BALANCE = HeadFeature(name="balance", type="number", range=(0, 2), step=0.5)
PLAN = HeadFeature(name="plan", classes=("free", "gold"))
FEATURES = (BALANCE, PLAN)
TEXT, MARKER, TOKEN = "Where is my parcel?", "Rosalind 0815 Quibble", "service-token"
SCOPES = ["encode", "classify"]
ACCESS = {"tokens": [{"name": "a", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "scopes": SCOPES}]}
ACCEPTED: tuple[tuple[dict[str, Any], tuple[float, float]], ...] = (
    ({"balance": 2, "plan": "gold"}, (2, 1)),
    ({"balance": 0.75, "plan": "free", "other": MARKER}, (1, 0)),
    ({"balance": None, "plan": None}, (np.nan, np.nan)),
    ({"balance": 0.0, "plan": None}, (0, np.nan)),
)
REFUSED: dict[str, tuple[str, str, str | None]] = {
    "{}": ("missing_feature", "The feature balance is missing among the features; send null if it is", "balance"),
    '{"balance": 1}': ("missing_feature", "The feature plan is missing", "plan"),
    '{"balance": 2.25, "plan": null}': ("bad_feature", "The feature balance has none of the classes, or", "balance"),
    '{"balance": "1", "plan": null}': ("bad_feature", "", "balance"),
    '{"balance": true, "plan": null}': ("bad_feature", "", "balance"),
    '{"balance": NaN, "plan": null}': ("bad_feature", "", "balance"),
    '{"balance": 1e999, "plan": null}': ("bad_feature", "", "balance"),
    '{"balance": 1, "plan": "silver"}': ("bad_feature", "", "plan"),
    '{"balance": 1, "plan": 1}': ("bad_feature", "", "plan"),
    f'{{"balance": 1, "plan": "{MARKER}"}}': ("bad_feature", "", "plan"),
    f'{{"balance": 1, "plan": ["{MARKER}"]}}': ("bad_feature", "", "plan"),
    MARKER: ("malformed_event", "", None),
    '{"plan": "free", "plan": "gold"}': ("malformed_event", "", None),
    f'{{"{"a" * 9000}": 1}}': ("malformed_event", "", None),
}


def _post(client: httpx.Client, features: str | None) -> httpx.Response:
    headers = {} if features is None else {"rawless-features": features}
    return client.post("/v1/heads/topic/predict", json={"text": TEXT}, headers=headers)


def test_features_reach_the_head_and_invalid_ones_are_named_in_one_process_and_through_services(
    tiny_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert tiny_bench.spec is not None
    tiny_bench.deploy("topic", features=FEATURES)
    head, vector = open_head(tiny_bench.heads / "topic" / "1"), vector_of(load(tiny_bench.spec, "cpu"), TEXT.encode())
    roles: tuple[Role, ...] = ("encoder", "classifier")
    urls = {role: {"url": str(tiny_bench.start({"topic": {}}, role, access=ACCESS).base_url)} for role in roles}
    for client in (tiny_bench.start({"topic": {}}), tiny_bench.start({"topic": {}}, "orchestrator", **urls)):
        for given, row in ACCEPTED:
            answer = _post(client, json.dumps(given)).json()
            (expected,) = head.answer(embedding=vector[None], features=np.array([row], np.float32))["probabilities"]
            assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5), given
        for sent, (reason, detail, feature) in REFUSED.items():
            response = _post(client, sent)
            problem = Problem.model_validate_json(response.content)
            assert (response.status_code, problem.reason, problem.feature) == (422, reason, feature), sent
            assert detail in problem.detail
            assert MARKER not in response.text
        assert _post(client, None).json()["reason"] == "missing_feature"
        ((arm,),) = (offer["arms"] for offer in client.get("/v1/heads").json()["heads"])
        assert [HeadFeature(**fields) for fields in arm["features"]] == list(FEATURES)


def test_each_item_of_a_request_has_its_own_features_or_those_of_the_headers(tiny_bench: Bench) -> None:
    tiny_bench.deploy("topic", features=FEATURES)
    client = tiny_bench.start({"topic": {}})
    first, second = (json.dumps(ACCEPTED[n][0]) for n in (0, 2))
    items = [{"text": TEXT}, {"text": TEXT, "features": ACCEPTED[2][0]}, {"text": TEXT, "features": {"balance": 9}}]

    answer = client.post("/v1/heads/topic/predict", json=items, headers={"rawless-features": first})

    *answered, refused = answer.json()["results"]
    for result, features in zip(answered, (first, second), strict=True):
        alone = _post(client, features).json()["probabilities"]
        assert result["prediction"]["probabilities"] == pytest.approx(alone, abs=1e-5)
    assert (refused["reason"], refused["feature"]) == ("bad_feature", "balance")


def test_a_version_with_other_features_is_not_deployed_over_the_live_one(tiny_bench: Bench) -> None:
    tiny_bench.deploy("topic", features=FEATURES)

    with pytest.raises(UserError, match=r"its features are balance \(0 to 2\); plan \(gold, free\), not balance"):
        tiny_bench.deploy("topic", 2, features=(BALANCE, PLAN.model_copy(update={"classes": ("gold", "free")})))


def test_what_a_caller_sends_is_bounded_before_a_head_sees_it() -> None:
    given = {"a": MARKER, "B": 1, "c": "x" * 64, "d": "x" * 65, "e": 10**400, "f": {}, "g": None, "h": -2.5, "i": True}

    assert bounded(given) == {
        "a": False, "c": "x" * 64, "d": False, "e": False, "f": False, "g": None, "h": -2.5, "i": False,
    }  # fmt: skip
