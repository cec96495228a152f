"""Deployments and rollbacks decide which version of a head is live."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.catalogue import lookup
from rawless.errors import UserError
from rawless.heads.deployment import FILE, deploy, live_version, read, rollback
from tests.drawn_heads import write_head

VERSIONS = (1, 2, 3)


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
    assert live_version(heads, "topic") == 1
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

    assert read(heads, "topic").stack == tuple(stack)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("account", "app", "other")}, "classes are account, app, other"),
        ({"classes": ("account", "app")}, r"returns probabilities float32 \['batch', 2\]"),
        ({"kind": "number"}, "returns value"),
        ({"spec": lookup("resnet18-seeded@1.0.0")}, "vectors of resnet18-seeded@1.0.0, not of minilm@1.0.0"),
    ],
)
def test_another_layout_is_refused_unless_it_is_requested(
    heads: Path, changes: dict[str, object], message: str
) -> None:
    deploy(heads, "topic", 1)
    write_head(heads, "topic", 4, **changes)  # type: ignore[arg-type]

    with pytest.raises(UserError, match=message):
        deploy(heads, "topic", 4)
    assert live_version(heads, "topic") == 1
    deploy(heads, "topic", 4, new_layout=True)
    assert live_version(heads, "topic") == 4


def test_a_missing_or_changed_version_is_not_deployed(heads: Path) -> None:
    graph = heads / "topic" / "2" / "head.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])

    with pytest.raises(UserError, match="is not the folder of a head"):
        deploy(heads, "topic", 9)
    with pytest.raises(UserError, match="its digest does not match"):
        deploy(heads, "topic", 2)
    assert live_version(heads, "topic") is None


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
        live_version(heads, "topic")


def test_a_full_disk_leaves_no_file_and_keeps_the_live_version(heads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(heads, "topic", 1)
    before = sorted(path.name for path in (heads / "topic").iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="cannot be written"):
        deploy(heads, "topic", 2)

    assert live_version(heads, "topic") == 1
    assert sorted(path.name for path in (heads / "topic").iterdir()) == before
