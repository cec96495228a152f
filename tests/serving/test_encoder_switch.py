"""A stream that moves to another encoder and back while services answer."""

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest

from encoders.load import load
from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.heads.session import open_head
from rawless.serving.remote import TOKEN_VARIABLE
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import register
from rawless.warehouse.stream_pointers import Role, point, read
from tests.serving import conftest
from tests.serving.conftest import NO_AUTHORITIES, Bench, vector_of
from tests.shop import Shop, make_row

TEXT = "where is my parcel ?"
PREDICT = "/v1/heads/topic/predict"
QUICK = {"watch_seconds": 0.01, "pointer_seconds": 0.02, "queue": 256}
CALLERS = 6
eventually = partial(conftest.eventually, seconds=60)


class Pair(NamedTuple):
    """The encoder that a stream has, and the one that it moves to."""

    old: EncoderSpec
    new: EncoderSpec


@pytest.fixture(scope="session")
def pair(tiny_spec: Callable[..., EncoderSpec]) -> Pair:
    return Pair(seal(tiny_spec(name="small")), seal(tiny_spec(name="small", version="2.0.0", pooling="cls")))


@pytest.fixture
def moving(bench: Bench, warehouse: Warehouse, pair: Pair) -> Bench:
    """A bench whose warehouse knows the other encoder, with a head for the first one."""
    register(warehouse, pair.new)
    bench.spec = pair.old
    bench.deploy("topic", 1)
    return bench


def give(warehouse: Warehouse, spec: EncoderSpec, role: Role) -> None:
    """Give an encoder a role for the stream."""
    point(warehouse, read(warehouse, "message"), {spec.fingerprint: role})


@dataclass
class Load:
    """The answers to callers that keep asking."""

    statuses: list[int | str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def since(self, number: int) -> list[str]:
        """Return the encoders of the answers after the first ones."""
        return [answer["model"]["encoder_version"] for answer in self.answers[number:]]

    def await_answers(self, encoder: EncoderSpec, count: int = CALLERS) -> None:
        """Wait until an encoder answers all callers."""
        number = len(self.answers)
        eventually(lambda: self.since(number)[-count:] == [encoder.version] * count)


@contextmanager
def under_load(client: httpx.Client, callers: int = CALLERS, paths: Sequence[str] = (PREDICT,)) -> Iterator[Load]:
    """Keep asking a service."""
    seen, ended, numbers = Load(), threading.Event(), itertools.count()
    # Connections that are idle for as long as the server keeps them may be closed while they are used again.
    limits = httpx.Limits(max_keepalive_connections=callers, keepalive_expiry=1)
    asking = httpx.Client(base_url=client.base_url, timeout=60, verify=NO_AUTHORITIES, limits=limits)

    def call(path: str) -> None:
        while not ended.is_set():
            number = next(numbers)  # of more requests than there are ids
            headers = {"rawless-event-id": f"msg-{number % 10_000:04}", "rawless-subject-id": f"person-{number}"}
            try:
                response = asking.post(path, json={"text": TEXT}, headers=headers)
            except httpx.HTTPError as error:
                seen.statuses.append(type(error).__name__)
                continue
            seen.statuses.append(response.status_code)
            if response.status_code == 200:
                seen.answers.append(response.json())

    threads = [threading.Thread(target=call, args=(paths[number % len(paths)],)) for number in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        asking.close()


def expected(bench: Bench, pair: Pair, versions: Mapping[int, EncoderSpec]) -> dict[int, list[float]]:
    """Return what each version of the head answers for the vector of its encoder."""
    vectors = {spec.version: vector_of(load(spec, "cpu"), TEXT.encode()) for spec in pair}
    return {
        version: open_head(bench.heads / "topic" / str(version))
        .answer(embedding=vectors[spec.version][None])["probabilities"][0]
        .tolist()
        for version, spec in versions.items()
    }


def check(load_: Load, answers: Mapping[int, list[float]], versions: Mapping[int, EncoderSpec]) -> None:
    """Check that no request failed, and that each answer is that of a version for its own encoder's vector."""
    assert set(load_.statuses) == {200}
    for answer in load_.answers:
        model = answer["model"]
        assert model["encoder_fingerprint"] == versions[model["version"]].fingerprint
        assert list(answer["probabilities"].values()) == pytest.approx(answers[model["version"]], abs=1e-4)


def metric(client: httpx.Client, line: str) -> float:
    """Return the value of a metric, 0 if there is none."""
    values = [each for each in client.get("/metrics").text.splitlines() if each.startswith(line)]
    return float(values[0].split()[-1]) if values else 0.0


@pytest.mark.parametrize(("callers", "turns"), [(CALLERS, 1), pytest.param(48, 10, marks=pytest.mark.full)])
def test_a_stream_moves_to_another_encoder_and_back_under_load(
    moving: Bench, warehouse: Warehouse, pair: Pair, callers: int, turns: int
) -> None:
    is_logged = turns > 1
    client = moving.start({"topic": {"log": is_logged}}, warehouse=warehouse, limits=QUICK)
    versions = {1: pair.old}
    with moving.running, under_load(client, callers) as seen:
        give(warehouse, pair.old, "live")
        moving.deploy("topic", 2, spec=pair.new)
        give(warehouse, pair.new, "dual")
        beside = 'rawless_dual_answers_total{encoder="small@2.0.0",head="topic",outcome='
        eventually(lambda: metric(client, f'{beside}"agrees"') + metric(client, f'{beside}"differs"') > 0)
        for version, spec in enumerate((pair.new, pair.old) * turns, 3):
            give(warehouse, spec, "live")
            seen.await_answers(spec, callers)
            moving.deploy("topic", version, spec=spec)
            eventually(lambda version=version: seen.answers[-1]["model"]["version"] == version)  # type: ignore[misc]
            versions[version] = spec
        live = [metric(client, f'rawless_live_encoder{{encoder="{spec.ref}",stream="message"}}') for spec in pair]

    versions[2] = pair.new
    check(seen, expected(moving, pair, versions), versions)
    assert {answer["model"]["version"] for answer in seen.answers} >= {1, *range(3, 3 + 2 * turns)}
    assert live == [1, 0]
    rows = warehouse.query(
        f"SELECT DISTINCT version, encoder_version FROM `{warehouse.table_id('prediction_v1')}` "
        f"JOIN `{warehouse.table_id('embedding_event_v1')}` USING (stream, event_id, subject_key) "
        "WHERE occurred_at IS NOT NULL"
    )
    logged = {(row["version"], row["encoder_version"]) for row in rows}
    assert logged <= {(version, spec.version) for version, spec in versions.items()}
    assert bool(logged) == is_logged


STAYS = (
    "The stream message stays with small@1.0.0: urgency of heads.urgency has no live version for vectors of "
    "small@2.0.0 that fits."
)


def test_a_head_that_is_missing_for_the_new_encoder_keeps_the_old_one(
    moving: Bench, warehouse: Warehouse, pair: Pair
) -> None:
    moving.deploy("urgency", 1)
    give(warehouse, pair.old, "live")
    moving.deploy("topic", 2, spec=pair.new)
    client = moving.start({"topic": {}, "urgency": {}}, warehouse=warehouse, limits=QUICK)
    with moving.running, under_load(client, paths=(PREDICT, "/v1/heads/urgency/predict")) as seen:
        give(warehouse, pair.new, "live")
        eventually(lambda: STAYS in moving.messages)  # before, it may say that the encoder is not loaded yet
        number = len(seen.answers)
        eventually(lambda: len(seen.answers) > number + CALLERS)
        before, current = set(seen.since(0)), metric(client, 'rawless_stream_current{stream="message"}')
        restarted = moving.start({"topic": {}, "urgency": {}}, warehouse=warehouse, limits=QUICK)
        again = restarted.post(PREDICT, json={"text": TEXT}).json()["model"]["encoder_version"]
        moving.deploy("urgency", 2, spec=pair.new)
        seen.await_answers(pair.new)
        moved = metric(client, 'rawless_stream_current{stream="message"}')

    assert set(seen.statuses) == {200}
    assert (before, again, current, moved) == ({"1.0.0"}, "1.0.0", 0, 1)
    assert moving.messages.count(STAYS) <= 2  # once by each of the two services
    assert any("is answered by small@2.0.0 instead of small@1.0.0" in message for message in moving.messages)


def test_a_restarted_service_answers_with_the_live_encoder(moving: Bench, warehouse: Warehouse, pair: Pair) -> None:
    give(warehouse, pair.old, "live")
    moving.deploy("topic", 2, spec=pair.new)
    give(warehouse, pair.new, "live")
    heads = {"topic": {}, "pinned": {"encoder": pair.old.ref, "arms": {"topic": 1}}}
    client = moving.start(heads, warehouse=warehouse, limits=QUICK)

    models = [client.post(f"/v1/heads/{name}/predict", json={"text": TEXT}).json()["model"] for name in heads]
    offers = client.get("/v1/heads").json()["heads"]

    assert [(model["version"], model["encoder_version"]) for model in models] == [(2, "2.0.0"), (1, "1.0.0")]
    assert {offer["head"]: (offer["encoder"], offer["arms"][0]["model"]["version"]) for offer in offers} == {
        "topic": ("small@2.0.0", 2),
        "pinned": ("small@1.0.0", 1),
    }


def test_roles_that_cannot_be_read_leave_the_last_known_ones(moving: Bench, warehouse: Warehouse, pair: Pair) -> None:
    give(warehouse, pair.old, "live")
    client = moving.start({"topic": {}}, warehouse=warehouse, limits=QUICK)

    point(warehouse, read(warehouse, "message"), {"e" * 64: "live"})
    eventually(lambda: any("encoder_v1 does not contain" in message for message in moving.messages))

    assert client.post(PREDICT, json={"text": TEXT}).json()["model"]["encoder_version"] == "1.0.0"
    assert len(moving.messages) == 1


def test_a_head_with_other_classes_is_no_reason_to_change(moving: Bench, warehouse: Warehouse, pair: Pair) -> None:
    give(warehouse, pair.old, "live")
    client = moving.start({"topic": {}}, warehouse=warehouse, limits=QUICK)
    moving.deploy("topic", 2, spec=pair.new, classes=("yes", "no"), new_layout=True)
    give(warehouse, pair.new, "live")

    eventually(lambda: any("topic@2 answers unlike topic@1: its classes are" in each for each in moving.messages))

    assert client.post(PREDICT, json={"text": TEXT}).json()["model"]["version"] == 1


def test_an_encoder_that_the_leakage_gate_refuses_does_not_answer_for_a_head_that_logs(
    moving: Bench, warehouse: Warehouse, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gate(_: Warehouse, __: object, specs: Mapping[str, EncoderSpec]) -> list[str]:
        if pair.new.ref in specs:
            raise UserError("no audit has measured it.")
        return []

    monkeypatch.setattr("rawless.serving.app.enforce_gate", gate)
    give(warehouse, pair.old, "live")
    moving.deploy("topic", 2, spec=pair.new)
    client = moving.start({"topic": {"log": True}}, warehouse=warehouse, limits=QUICK)
    give(warehouse, pair.new, "live")

    eventually(lambda: moving.messages[-1:] == ["The stream message stays with small@1.0.0: no audit has measured it."])
    headers = {"rawless-event-id": "msg-0001", "rawless-subject-id": "someone"}
    assert client.post(PREDICT, json={"text": TEXT}, headers=headers).json()["model"]["version"] == 1


def build_index(shop: Shop, spec: EncoderSpec) -> str:
    """Build a snapshot of three texts with the vectors of an encoder, and return its id."""
    own = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
    own |= {"stream": "answer", "modality": "text"}
    texts = ["where is my cat", "two dogs", "paid for my bird"]
    rows = [own | {"embedding": vector_of(load(spec, "cpu"), text.encode())} for text in texts]
    append_all(shop.warehouse, [make_row(number, row) for number, row in enumerate(rows)])
    return shop.build(stream="answer", encoder=spec.ref, rules=None).manifest.snapshot_id


@pytest.mark.full
def test_an_index_of_the_new_encoder_must_be_there_first(
    moving: Bench, shop: Shop, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawless.serving.app.RETRY_SECONDS", 0.1)
    warehouse = shop.warehouse

    register(warehouse, pair.old)
    old = build_index(shop, pair.old)
    give(warehouse, pair.old, "live")
    for version, spec in enumerate(pair, 1):
        moving.deploy("related", version, kind="query_transform", identity=True, spec=spec)
    client = moving.start({"related": {"index": "uploads"}}, warehouse=warehouse, limits=QUICK)

    def answer() -> tuple[str, str]:
        response = client.post("/v1/heads/related/score", json={"text": TEXT}).json()
        return response["model"]["encoder_version"], response["snapshot_id"]

    give(warehouse, pair.new, "live")
    eventually(lambda: any("uploads has no snapshot with vectors of small@2.0.0" in each for each in moving.messages))
    before = answer()
    new = build_index(shop, pair.new)
    eventually(lambda: answer()[0] == "2.0.0")
    after = answer()
    give(warehouse, pair.old, "live")
    eventually(lambda: answer() == ("1.0.0", old))

    assert (before, after) == (("1.0.0", old), ("2.0.0", new))


def test_a_query_tower_answers_beside_heads_of_its_documents_encoder_only(
    bench: Bench, shop: Shop, pair: Pair, tiny_sealed: EncoderSpec, query_tower: EncoderSpec
) -> None:
    bench = replace(bench, spec=tiny_sealed, towers=(query_tower,))
    warehouse, moves = shop.warehouse, Pair(tiny_sealed, pair.new)
    for version, spec in enumerate(moves, 1):
        register(warehouse, spec)
        bench.deploy("related", version, kind="query_transform", identity=True, spec=spec)
    old, new = (build_index(shop, spec) for spec in moves)
    give(warehouse, moves.old, "live")
    find = {"index": "uploads", "arms": {query_tower.ref: 1, "related": 1}}
    following = bench.start({"find": find}, warehouse=warehouse, limits=QUICK)
    heads = {"find": {**find, "encoder": moves.old.ref}, "related": {"index": "uploads"}}
    keeping = bench.start(heads, warehouse=warehouse, limits=QUICK)

    def ask(client: httpx.Client, head: str, arm: str) -> tuple[str, str]:
        answer = client.post(f"/v1/heads/{head}/score?arm={arm}", json={"text": TEXT}).json()
        return (answer["tower"] or answer["model"])["encoder"], answer["snapshot_id"]

    refusal = (
        "The stream message stays with tiny@1.0.0: heads.find.arms names asks@1.0.0, which encodes no queries for "
        "documents of small@2.0.0: remove the arm, or name an encoder for the head."
    )
    give(warehouse, moves.new, "live")
    eventually(lambda: ask(keeping, "related", "related") == ("small", new))
    eventually(lambda: bench.messages.count(refusal) == 1)
    kept = [ask(client, "find", arm) for client in (following, keeping) for arm in find["arms"]]
    give(warehouse, moves.old, "live")
    eventually(lambda: ask(keeping, "related", "related") == ("tiny", old))
    give(warehouse, query_tower, "live")
    eventually(lambda: any("role in message is asks@1.0.0, which is a query tower" in each for each in bench.messages))

    assert kept == [("asks", old), ("tiny", old)] * 2
    assert ask(keeping, "related", "related") == ("tiny", old)


@pytest.mark.full
def test_separate_services_move_together_under_load(
    moving: Bench, warehouse: Warehouse, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "service-token"
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    digest = hashlib.sha256(token.encode()).hexdigest()
    access = {"tokens": [{"name": "orchestrator", "sha256": digest, "scopes": ["encode", "classify"]}]}
    give(warehouse, pair.old, "live")
    encoder, classifier = (
        moving.start({"topic": {}}, role, warehouse, access=access, limits=QUICK) for role in ("encoder", "classifier")
    )
    urls = {"encoder": {"url": str(encoder.base_url)}, "classifier": {"url": str(classifier.base_url)}}
    client = moving.start({"topic": {}}, "orchestrator", warehouse, limits=QUICK, **urls)
    with moving.running, under_load(client) as seen:
        seen.await_answers(pair.old)
        give(warehouse, pair.new, "live")
        eventually(lambda: any("stays with small@1.0.0" in message for message in moving.messages))
        moving.deploy("topic", 2, spec=pair.new)
        seen.await_answers(pair.new)
        for spec in (pair.old, pair.new):
            give(warehouse, spec, "live")
            seen.await_answers(spec)
        (offer,) = client.get("/v1/heads").json()["heads"]

    versions = {1: pair.old, 2: pair.new}
    check(seen, expected(moving, pair, versions), versions)
    assert (offer["encoder"], offer["arms"][0]["model"]["version"]) == ("small@2.0.0", 2)
