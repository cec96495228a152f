"""A stream moves from one encoder to another, one step at a time and back, and each rule refuses in one sentence."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.seal import seal
from encoders.spec import EncoderSpec
from rawless.errors import UserError
from rawless.events.stream import Stream
from rawless.heads.deployment import deploy
from rawless.lifecycle.migration import Move, move_back, move_forward, roles_since, stream_encoders
from rawless.warehouse.append import append_all
from rawless.warehouse.client import Warehouse
from rawless.warehouse.encoder_registry import register
from rawless.warehouse.stream_pointers import Pointers, Role, point, read
from tests.drawn_heads import write_head
from tests.shop import make_row

NAME = "message"


@dataclass
class Migration:
    """A stream with two encoders, one of them with rows, and a head for each."""

    warehouse: Warehouse
    stream: Stream
    old: EncoderSpec
    new: EncoderSpec
    heads: Path

    @property
    def pointers(self) -> Pointers:
        return read(self.warehouse, self.stream.stream)

    def planned(self, to: Role, spec: EncoderSpec | None = None, heads: Path | None = None) -> Move:
        encoders = stream_encoders(self.warehouse, self.stream)
        return move_forward(self.warehouse, encoders, spec or self.new, self.pointers, to, heads or self.heads)

    def forward(self, *steps: Role, spec: EncoderSpec | None = None) -> Move:
        for step in steps:
            move = self.planned(step, spec)
            point(self.warehouse, self.pointers, move.roles)
        return move

    def back(self, spec: EncoderSpec | None = None) -> Move:
        encoders = stream_encoders(self.warehouse, self.stream)
        move = move_back(self.warehouse, encoders, spec or self.new, self.pointers, self.heads)
        point(self.warehouse, self.pointers, move.roles)
        return move

    def log(self, spec: EncoderSpec, numbers: range = range(3), **fields: Any) -> None:
        own = {"encoder": spec.name, "encoder_version": spec.version, "encoder_fingerprint": spec.fingerprint}
        vector = np.ones(spec.dimension, np.float32)
        whole = {"stream": NAME, "modality": "text", "embedding": vector, **own, **fields}
        append_all(self.warehouse, [make_row(number, whole) for number in numbers])

    def deploy(self, name: str, version: int, spec: EncoderSpec) -> None:
        write_head(self.heads, name, version, spec)
        deploy(self.heads, name, version)


@pytest.fixture(scope="module")
def tiny_cls(tiny_spec: Callable[..., EncoderSpec]) -> EncoderSpec:
    """The tiny encoder with another pooling, sealed."""
    return seal(tiny_spec(version="1.1.0", pooling="cls"))


@pytest.fixture
def migration(warehouse: Warehouse, tiny_sealed: EncoderSpec, tiny_cls: EncoderSpec, tmp_path: Path) -> Migration:
    for spec in (tiny_sealed, tiny_cls):
        register(warehouse, spec)
    encoders = [tiny_sealed.ref, tiny_cls.ref]
    stream = Stream.model_validate({"stream": NAME, "modality": "text", "encoders": encoders})
    made = Migration(warehouse, stream, tiny_sealed, tiny_cls, tmp_path)
    made.log(tiny_sealed)
    return made


def test_a_stream_moves_step_by_step_to_another_encoder_and_back(migration: Migration) -> None:
    old, new = migration.old.fingerprint, migration.new.fingerprint
    migration.log(migration.new)
    for version, spec in enumerate((migration.old, migration.new), 1):
        migration.deploy("topic", version, spec)

    migration.forward("shadow")
    assert (migration.pointers.live, migration.pointers.roles) == (old, {old: "live", new: "shadow"})
    migration.forward("dual")
    move = migration.forward("live")
    assert (move.live_before, move.live_after, move.heads) == (migration.old.ref, migration.new.ref, ("topic@2",))
    assert (migration.pointers.live, migration.pointers.roles) == (new, {old: "dual", new: "live"})

    move = migration.back()
    assert (move.live_after, move.heads) == (migration.old.ref, ("topic@1",))
    assert (migration.pointers.live, migration.pointers.roles) == (old, {old: "live", new: "dual"})
    migration.back()
    assert migration.pointers.roles == {old: "live", new: "shadow"}
    with pytest.raises(UserError, match="from which no step leads back"):
        migration.back()
    with pytest.raises(UserError, match=r"No encoder was live for message before tiny@1\.0\.0"):
        migration.back(migration.old)
    since = [(each.role, each.fingerprint) for each in roles_since(migration.pointers)]
    assert since == [("live", old), ("shadow", new)]


def test_a_step_that_breaks_a_rule_is_refused_and_changes_nothing(
    migration: Migration, tiny_spec: Callable[..., EncoderSpec], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match="has no role yet for message, and no step may be skipped: adopt it --to shadow"
    ):
        migration.planned("live")
    with pytest.raises(UserError, match=r"tiny@1\.0\.0 is live for message: go one step back by --back"):
        migration.planned("shadow", migration.old)
    unregistered = tiny_spec(version="3.0.0", pooling="max")
    with pytest.raises(UserError, match=r"tiny@3\.0\.0 is not registered: run `rawless encoder register tiny@3\.0\.0`"):
        migration.planned("shadow", unregistered)

    migration.forward("shadow")
    with pytest.raises(UserError, match=r"message has no rows of tiny@1\.1\.0 yet"):
        migration.planned("dual")
    migration.log(migration.new)
    with pytest.raises(UserError, match=r"is shadow for message already: there is nothing to do"):
        migration.planned("shadow")
    migration.forward("dual")
    with pytest.raises(UserError, match=r"No head for message and tiny@1\.0\.0 is deployed in .*--without-heads"):
        migration.planned("live")
    migration.deploy("topic", 1, migration.old)
    with pytest.raises(UserError, match=r"topic: deployed for tiny@1\.0\.0, but not for tiny@1\.1\.0"):
        migration.planned("live")
    assert migration.pointers.roles[migration.new.fingerprint] == "dual"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoders": ["tiny@1.0.0"]}, r"tiny@1\.1\.0 is not in the encoders of message's stream file"),
        ({"modality": "image"}, "The modality of stream message is image"),
        ({"leakage": {"max": {"words_f1": 0.5}, "max_age": "90d"}}, "The leakage gate of message refuses"),
    ],
)
def test_a_stream_that_may_not_have_the_encoder_is_refused(
    migration: Migration, fields: dict[str, Any], message: str
) -> None:
    migration.stream = Stream.model_validate({**migration.stream.model_dump(exclude_unset=True), **fields})
    with pytest.raises(UserError, match=message):
        migration.planned("shadow")
    assert migration.pointers.history == ()
