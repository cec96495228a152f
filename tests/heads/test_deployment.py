"""Deployments and rollbacks decide which version of a head is live."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.catalogue import lookup
from rawless.errors import UserError
from rawless.heads.deployment import FILE, deploy, live_by_space, read, rollback
from tests.drawn_heads import write_head

VERSIONS = (1, 2, 3)
SPACE = lookup("minilm@1.0.0").space
OTHER = lookup("resnet18-seeded@1.0.0")


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    for version in VERSIONS:
        write_head(tmp_path, "topic", version)
    return tmp_path


def test_a_rollback_restores_the_version_that_was_live_before(heads: Path) -> None:
    deploy(heads, "topic", 1)
    deploy(heads, "topic", 3)
    deploy(heads, "topic", 3)  # a second time changes nothing
    deploy(heads, "topic", 2)

    back = [rollback(heads, "topic").version for _ in range(2)]

    assert back == [3, 1]
    assert live_by_space(heads, "topic") == {SPACE: 1}
    assert [change.action for change in read(heads, "topic").changes] == ["deploy"] * 3 + ["rollback"] * 2
    with pytest.raises(UserError, match="cannot be rolled back"):
        rollback(heads, "topic")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.sampled_from([0, *VERSIONS]), max_size=12))
def test_a_rollback_undoes_the_last_deployment_after_any_history(heads: Path, steps: list[int]) -> None:
    """A step of 0 is a rollback."""
    (heads / "topic" / FILE).unlink(missing_ok=True)
    stack: list[int] = []
    for step in steps:
        if step:
            deploy(heads, "topic", step)
            stack += [step] if stack[-1:] != [step] else []
        elif len(stack) > 1:
            rollback(heads, "topic")
            stack.pop()

    assert read(heads, "topic").stack(SPACE) == tuple(stack)


def test_a_version_for_another_encoder_is_live_beside_and_rolled_back_alone(heads: Path) -> None:
    for version in (4, 5):
        write_head(heads, "topic", version, spec=OTHER)
    for version in (1, 4, 2, 5):
        deploy(heads, "topic", version)
    both = live_by_space(heads, "topic")

    with pytest.raises(UserError, match=r"Live are topic@2 for minilm@1\.0\.0, topic@5 for resnet18-seeded@1\.0\.0"):
        rollback(heads, "topic")
    with pytest.raises(UserError, match="by --encoder"):
        rollback(heads, "topic", "other@1.0.0")
    restored = rollback(heads, "topic", OTHER.ref)

    assert both == {SPACE: 2, OTHER.space: 5}
    assert restored.version == 4
    assert live_by_space(heads, "topic") == {SPACE: 2, OTHER.space: 4}
    with pytest.raises(UserError, match="topic@4 cannot be rolled back"):
        rollback(heads, "topic", OTHER.ref)


def test_a_file_from_before_versions_were_live_by_space_keeps_its_meaning(heads: Path) -> None:
    write_head(heads, "topic", 4, spec=OTHER)
    changes = [("deploy", 9), ("deploy", 1), ("deploy", 4), ("rollback", 1), ("deploy", 2), ("deploy", 4)]
    written = [{"action": action, "version": version, "at": "2026-01-01T00:00:00Z"} for action, version in changes]
    (heads / "topic" / FILE).write_text(json.dumps({"changes": written}))

    assert live_by_space(heads, "topic") == {SPACE: 2, OTHER.space: 4}  # version 9 was removed since
    deploy(heads, "topic", 3)
    assert rollback(heads, "topic", "minilm@1.0.0").version == 2
    assert live_by_space(heads, "topic") == {SPACE: 2, OTHER.space: 4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("account", "app", "other")}, "classes are account, app, other"),
        ({"classes": ("account", "app")}, r"returns probabilities float32 \['batch', 2\]"),
        ({"kind": "number"}, "returns value"),
        ({"spec": OTHER, "classes": ("account", "app")}, "classes are account, app, not account, app, payment"),
        ({"spec": OTHER, "kind": "pair"}, "takes left"),
    ],
)
def test_another_layout_is_refused_unless_it_is_requested(
    heads: Path, changes: dict[str, object], message: str
) -> None:
    deploy(heads, "topic", 1)
    write_head(heads, "topic", 4, **changes)  # type: ignore[arg-type]

    with pytest.raises(UserError, match=message):
        deploy(heads, "topic", 4)
    assert live_by_space(heads, "topic") == {SPACE: 1}
    space = deploy(heads, "topic", 4, new_layout=True).space
    assert live_by_space(heads, "topic")[space] == 4


def test_a_missing_or_changed_version_is_not_deployed(heads: Path) -> None:
    graph = heads / "topic" / "2" / "head.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])

    with pytest.raises(UserError, match="is not the folder of a head"):
        deploy(heads, "topic", 9)
    with pytest.raises(UserError, match="its digest does not match"):
        deploy(heads, "topic", 2)
    assert live_by_space(heads, "topic") == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"changes": 1}',
        json.dumps({"changes": [{"action": "rollback", "version": 1, "at": "2026-01-01T00:00:00Z"}]}),
    ],
)
def test_a_broken_deployment_file_is_reported(heads: Path, content: str) -> None:
    (heads / "topic" / FILE).write_text(content)

    with pytest.raises(UserError, match="cannot be read"):
        live_by_space(heads, "topic")


def test_a_full_disk_leaves_no_file_and_keeps_the_live_version(heads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(heads, "topic", 1)
    before = sorted(path.name for path in (heads / "topic").iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="cannot be written"):
        deploy(heads, "topic", 2)

    assert live_by_space(heads, "topic") == {SPACE: 1}
    assert sorted(path.name for path in (heads / "topic").iterdir()) == before
