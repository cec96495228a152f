"""Experiments: a key always gets the same arm, in every process."""

from collections import Counter

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawless.errors import UserError
from rawless.serving.app import AppFactory
from rawless.serving.assignment import PURPOSE, assign_arm
from rawless.serving.config import load_config
from tests.drawn_heads import write_head
from tests.serving.conftest import PSEUDONYM_KEY, Bench, eventually

ARMS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0.01, 100), min_size=1, max_size=5)
SECRET = bytes(32)
KEYS = [f"customer-{number}" for number in range(20_000)]


def test_shares_match_the_weights() -> None:
    counts = Counter(assign_arm(SECRET, "topic", key, {"old": 70, "new": 20, "wild": 10}) for key in KEYS)

    assert abs(counts["old"] / len(KEYS) - 0.7) < 0.01
    assert abs(counts["new"] / len(KEYS) - 0.2) < 0.01


@given(ARMS, st.text(), st.floats(0.01, 100))
def test_a_key_moves_only_to_or_from_the_arm_whose_weight_changed(
    arms: dict[str, float], key: str, weight: float
) -> None:
    changed = min(arms)
    before, after = assign_arm(SECRET, "topic", key, arms), assign_arm(SECRET, "topic", key, {**arms, changed: weight})

    assert before in arms
    assert before == assign_arm(SECRET, "topic", key, dict(reversed(arms.items())))
    if weight >= arms[changed]:
        assert after in (before, changed)
    else:
        assert after == before or before == changed


def test_experiments_are_independent() -> None:
    arms = {"a": 1.0, "b": 1.0}
    same = sum(assign_arm(SECRET, "topic", key, arms) == assign_arm(SECRET, "urgency", key, arms) for key in KEYS)

    assert abs(same / len(KEYS) - 0.5) < 0.02


def test_a_caller_without_the_secret_cannot_compute_the_arm_of_an_id() -> None:
    arms = {"a": 1.0, "b": 1.0}
    guessed = sum(assign_arm(SECRET, "topic", key, arms) == assign_arm(b"a guess", "topic", key, arms) for key in KEYS)

    assert abs(guessed / len(KEYS) - 0.5) < 0.02


def _arm(client: httpx.Client, **headers: str) -> str:
    response = client.post("/v1/heads/topic/predict", json={"text": "hello"}, headers=headers)
    return str(response.json()["model"]["head"])


def test_the_assignment_key_determines_the_arm_or_else_the_subject(bench: Bench) -> None:
    bench.deploy("old")
    bench.deploy("new")
    client = bench.start({"topic": {"arms": {"old": 1, "new": 1}}})

    by_key = {key: _arm(client, **{"rawless-assignment-key": key}) for key in KEYS[:12]}
    again = {key: _arm(client, **{"rawless-assignment-key": key, "rawless-subject-id": "x"}) for key in KEYS[:12]}
    by_subject = {key: _arm(client, **{"rawless-subject-id": key}) for key in KEYS[:12]}

    assert by_key == again == by_subject
    assert by_key == {
        key: assign_arm(PSEUDONYM_KEY.derive(PURPOSE), "topic", key, {"old": 1, "new": 1}) for key in KEYS[:12]
    }
    assert set(by_key.values()) == {"old", "new"}


def test_arms_without_a_pseudonym_key_are_refused(bench: Bench) -> None:
    bench.deploy("old")
    bench.deploy("new")
    config, served = load_config(bench.file({"topic": {"arms": {"old": 1, "new": 1}}}))
    app = AppFactory(config, served, bench.dependencies()._replace(pseudonym_key=None))

    with pytest.raises(UserError, match=r"heads\.topic\.arms are assigned by the pseudonym key, but there is none"):
        app.create_app("all", "127.0.0.1")


def test_shadows_are_called_but_not_returned(bench: Bench) -> None:
    for name in ("topic", "next", "number"):
        bench.deploy(name, kind="number" if name == "number" else "linear")
    client = bench.start({"topic": {"shadow": ["next", "number"]}})

    prediction = client.post("/v1/heads/topic/predict", json={"text": "hello"}).json()

    def is_counted(shadow: str) -> bool:
        start = 'rawless_shadow_answers_total{head="topic",outcome="'
        lines = [line for line in client.get("/metrics").text.splitlines() if f'shadow="{shadow}"' in line]
        return any(line.startswith(start) and float(line.split()[-1]) == 1 for line in lines)

    eventually(lambda: is_counted("next") and is_counted("number"))
    assert prediction["model"]["head"] == "topic"
    assert "next" not in str(prediction)


def test_shadows_beyond_the_limit_are_skipped_and_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawless.serving.orchestrator.MAX_SHADOWS", 1)
    for name in ("topic", "next", "last"):
        bench.deploy(name)
    client = bench.start({"topic": {"shadow": ["next", "last"]}})

    client.post("/v1/heads/topic/predict", json={"text": "hello"})

    skipped = 'rawless_shadow_answers_total{head="topic",outcome="skipped",shadow="last"} 1.0'
    eventually(lambda: skipped in client.get("/metrics").text)


def _model(client: httpx.Client, key: str) -> tuple[str, int]:
    headers = {"rawless-assignment-key": key}
    model = client.post("/v1/heads/topic/predict", json={"text": "where"}, headers=headers).json()["model"]
    return model["head"], model["version"]


def test_versions_of_one_head_are_arms_and_keep_their_version(tiny_bench: Bench) -> None:
    for version in (1, 2, 3):
        tiny_bench.deploy("topic", version)
    client = tiny_bench.start({"topic": {"arms": {"topic@1": 1, "topic@2": 1, "topic": 1}}})

    before = {key: _model(client, key) for key in KEYS[:20]}
    tiny_bench.deploy("topic", 4)
    eventually(lambda: ("topic", 4) in {_model(client, key) for key in KEYS[:20]})
    after = {key: _model(client, key) for key in KEYS[:20]}

    assert set(before.values()) == {("topic", 1), ("topic", 2), ("topic", 3)}
    assert after == {key: ("topic", 4) if model == ("topic", 3) else model for key, model in before.items()}
    (offer,) = client.get("/v1/heads").json()["heads"]
    assert sorted(arm["model"]["version"] for arm in offer["arms"]) == [1, 2, 4]
    assert 'rawless_answers_total{head="topic",version="topic@1"}' in client.get("/metrics").text


def test_a_version_can_be_a_shadow_before_it_is_deployed(tiny_bench: Bench) -> None:
    tiny_bench.deploy("topic", 1)
    write_head(tiny_bench.heads, "topic", 2, spec=tiny_bench.spec)
    client = tiny_bench.start({"topic": {"shadow": ["topic@2"]}})

    assert _model(client, "a") == ("topic", 1)
    eventually(lambda: 'shadow="topic@2"} 1.0' in client.get("/metrics").text)


@pytest.mark.parametrize("arm", ["topic@3", "topic@0", "topic@", "topic@01", "topic@latest", "topic@1@2"])
def test_an_arm_that_names_no_existing_version_is_refused(tiny_bench: Bench, arm: str) -> None:
    tiny_bench.deploy("topic", 1)

    with pytest.raises(UserError, match=r"heads\.topic"):
        tiny_bench.start({"topic": {"arms": {arm: 1}}})
