"""Business rules, and errors in service files."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.serving.config import load_config
from rawless.serving.rules import Abstention, Rules
from tests.serving.conftest import TEXT_STREAM, Bench, eventually

PREDICT = "/v1/heads/topic/predict"


def _predict(client: httpx.Client, **attributes: str) -> dict[str, Any]:
    import json

    headers = {"rawless-attributes": json.dumps(attributes)} if attributes else {}
    response = client.post(PREDICT, json={"text": "Where is my parcel?"}, headers=headers)
    assert response.status_code == 200
    prediction: dict[str, Any] = response.json()
    return prediction


def test_a_kill_switch_is_a_file_that_exists(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {"rules": {"kill_switch": "stop_topic", "fallback": "app"}}})

    before = _predict(client)
    (bench.folder / "stop_topic").touch()
    eventually(lambda: _predict(client)["abstention"] == "kill_switch")
    stopped = _predict(client)
    (bench.folder / "stop_topic").unlink()
    eventually(lambda: _predict(client)["abstention"] is None)

    assert before["abstention"] is None
    assert (stopped["prediction"], stopped["probabilities"], stopped["model"]) == ("app", None, None)


def test_a_kill_switch_in_an_unavailable_folder_keeps_its_state(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.deploy("topic")
    switches = {name: {"rules": {"kill_switch": f"stop_{name}"}} for name in ("topic", "urgency")}
    bench.deploy("urgency")
    (bench.folder / "stop_topic").touch()
    client = bench.start(switches)
    exists = Path.exists

    def unavailable(path: Path) -> bool:
        if path.name == "stop_topic":
            raise PermissionError
        return exists(path)

    monkeypatch.setattr(Path, "exists", unavailable)
    (bench.folder / "stop_urgency").touch()
    eventually(lambda: client.post("/v1/heads/urgency/predict", json={"text": "a"}).json()["abstention"] is not None)

    assert _predict(client)["abstention"] == "kill_switch"


def test_attributes_are_allowed_and_denied(bench: Bench) -> None:
    bench.deploy("topic")
    client = bench.start({"topic": {"rules": {"allow": {"channel": ["chat"]}, "deny": {"app": ["1.0"]}}}})

    assert _predict(client, channel="chat", app="1.1")["abstention"] is None
    assert _predict(client, channel="chat", app="1.0")["abstention"] == "denied"
    assert _predict(client, channel="email")["abstention"] == "not_allowed"
    assert _predict(client)["abstention"] == "not_allowed"
    assert _predict(client, channel="chat", other="dropped")["abstention"] is None


def test_an_unsure_head_abstains(bench: Bench) -> None:
    bench.deploy("topic")
    sure = bench.start({"topic": {"rules": {"minimum_confidence": 0.01}}})
    unsure = bench.start({"topic": {"rules": {"minimum_confidence": 1.0, "fallback": "ask_a_person"}}})

    assert _predict(sure)["abstention"] is None
    prediction = _predict(unsure)
    outcome = (prediction["abstention"], prediction["prediction"], prediction["probabilities"])
    assert outcome == ("low_confidence", "ask_a_person", None)
    assert prediction["model"]["version"] == 1
    assert 'rawless_abstentions_total{head="topic",reason="low_confidence"} 1.0' in unsure.get("/metrics").text


@given(st.dictionaries(st.sampled_from("abc"), st.floats(0, 1), min_size=1), st.floats(0.01, 1))
def test_the_minimum_confidence_applies_to_the_highest_probability(
    probabilities: dict[str, float], minimum: float
) -> None:
    abstention = Rules(minimum_confidence=minimum).check_answer(probabilities)

    assert (abstention is Abstention.LOW_CONFIDENCE) == (max(probabilities.values()) < minimum)


def test_without_rules_there_is_no_abstention() -> None:
    stream = Stream.model_validate(TEXT_STREAM)

    assert Rules().check_request({"channel": "chat"}, is_stopped=False) is None
    assert Rules().check_answer({"a": 0.1}) is None
    assert Rules().find_error(stream, has_index=True) is None


@pytest.mark.parametrize(
    ("heads", "fields", "message"),
    [
        ({"topic": {"rules": {"allow": {"colour": ["red"]}}}}, {}, "rules.allow names the attribute colour"),
        ({"topic": {"rules": {"deny": {"channel": ["post"]}}}}, {}, "rules.deny.channel names 'post'"),
        ({"topic": {"rules": {"kill_switch": "a" * 300}}}, {}, "rules.kill_switch cannot be accessed .OSError"),
        ({"topic": {"rules": {"kill_switch": "a\0b"}}}, {}, "rules.kill_switch cannot be accessed .ValueError"),
        ({"topic": {"rules": {"minimum_confidence": 2}}}, {}, "heads.topic.rules.minimum_confidence is 2"),
        ({"topic": {"index": "a", "rules": {"fallback": "x"}}}, {}, "rules of a head with an index"),
        ({"topic": {"index": "a", "rules": {"out_of_domain": "answer"}}}, {}, "rules of a head with an index"),
        ({"topic": {"rules": {"out_of_domain": "ignore"}}}, {}, "heads.topic.rules.out_of_domain is 'ignore'"),
        ({"topic": {"index": "a", "log": True}}, {}, "index cannot be combined with also or log"),
        ({"topic": {"encoder": "resnet50@1.0.0"}}, {}, "encoder is resnet50@1.0.0, but the stream has minilm@1.0.0"),
        ({"topic": {"shadow": ["topic"]}}, {}, "shadow names topic, which answers already"),
        ({"topic": {"shadow": ["next", "next"]}}, {}, "shadow names next, which answers already"),
        ({"topic": {"also": ["other", "other"]}, "other": {}}, {}, "also names other, which answers already"),
        ({"topic": {"also": ["topic"]}}, {}, "also names topic"),
        ({"topic": {"also": ["digit"]}, "digit": {"stream": "upload.yaml"}}, {}, "has another stream or encoder"),
        ({"topic": {"also": ["other"]}, "other": {"log": True}}, {}, "another value of log"),
        ({"topic": {"arms": {"a": 0}}}, {}, "heads.topic.arms.a is 0"),
        ({"Topic": {}}, {}, "Topic"),
        ({}, {}, "heads is {}"),
        ({"topic": {}}, {"access": {}}, "access has no callers"),
        ({"topic": {}}, {"encoder": {"url": "ftp://x"}}, "encoder.url is 'ftp://x'"),
        ({"topic": {}}, {"encoder": {"url": "http://[::1"}}, "encoder.url is 'http://\\[::1'"),
        ({"topic": {}}, {"encoder": {"url": "https://xn--"}}, "encoder.url is 'https://xn--'"),
        ({"topic": {"streams": "x"}}, {}, "heads.topic.streams is unknown"),
    ],
)
def test_an_error_in_a_service_file_names_field_and_value(
    bench: Bench, heads: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_config(bench.file(heads, **fields))


_PLAIN = ["encoder.example", "10.0.0.7:8080", "[2001:db8::1]", "0.0.0.0", "127.0.0.1.example", "localhost.example"]


@pytest.mark.parametrize("service", ["encoder", "classifier"])
@pytest.mark.parametrize("host", [*_PLAIN, "127.1", "2130706433", "[::ffff:10.0.0.7]"])
def test_a_service_on_another_machine_is_not_called_over_plain_http(bench: Bench, service: str, host: str) -> None:
    url = f"http://{host}/v1"
    with pytest.raises(UserError) as refused:
        load_config(bench.file({"topic": {}}, **{service: {"url": url}}))

    assert f"{service}.url is '{url}', but the rule is: content and tokens may leave" in str(refused.value)
    assert str(refused.value).endswith("use a URL that begins with https://.")


@pytest.mark.parametrize(
    "url",
    [
        "https://encoder.example",
        "https://10.0.0.7:8443",
        "http://localhost:8080",
        "http://127.0.0.2",
        "http://[::1]:80",
    ],
)
def test_https_and_this_machine_are_accepted(bench: Bench, url: str) -> None:
    config, _ = load_config(bench.file({"topic": {}}, encoder={"url": url}))

    assert config.encoder is not None
    assert config.encoder.url == url
