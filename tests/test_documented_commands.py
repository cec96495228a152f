"""Every command that a page names exists, with its options."""

from pathlib import Path

import pytest

from tests.command_lines import commands_in, problem

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/privacy/*.md")),
    *sorted(ROOT.glob("docs/encoders/*.md")), *sorted(ROOT.glob("sql/*/README.md")),
    ROOT / "terraform" / "README.md",
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist(page: Path) -> None:
    named = commands_in(page.read_text(encoding="utf-8"))

    assert [(command, found) for command in named if (found := problem(command))] == []


def test_commands_are_found_in_spans_tables_and_blocks() -> None:
    assert commands_in("`rawless a\nb`, `rawless x\\|y`\n```sh\nrawless c \\\n  d\n$ rawless e\nother\n```\n") == [
        "rawless a b", "rawless x\\|y", "rawless c \\\n  d", "rawless e"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("rawless igest", "there is no command igest"),
        ("rawless dataset build|biuld", "there is no command biuld"),
        ("rawless sql QUERY --jsn", "there is no option --jsn"),
        ("rawless ingest [--stream FILE] --sauce X", "there is no option --sauce"),
        ("rawless head train|show FILE [--verify]", "there is no option --verify"),
        ("rawless ingest --source x -- --runner=DirectRunner", None),
        ("rawless dataset plan\\|build\\|show", None),
        ("rawless COMMAND --help", None),
    ],
)
def test_what_the_command_line_lacks_is_named(command: str, words: str | None) -> None:
    assert problem(command) == words
