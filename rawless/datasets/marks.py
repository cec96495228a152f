"""The statements that mark which examples the steps of a build remove: as few as their order allows.

Whether a step removes an example may depend on the other examples that are left, as with a limit of examples for each
person. Such a step runs after the marks of earlier ones. All others run in one statement, in which the first step that
removes an example is the one that counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import indent
from typing import Any

from sqlglot.dialects.bigquery import BigQuery
from sqlglot.tokenizer_core import TokenType

from rawless.datasets.compile import CompiledDataset, Statement
from rawless.datasets.query_files import RESERVED
from rawless.warehouse.parameters import renamed


@dataclass(frozen=True)
class Step:
    """A line of the ledger."""

    name: str
    parameters: Mapping[str, Any]
    """As the ledger shows them."""
    removal: Statement | None = None
    """The SELECT of the examples that it removes among `remaining`, unless label or vectors decide that."""
    reads_others: bool = False
    """Whether its removal of an example may depend on other examples."""


def statements(compiled: CompiledDataset, steps: Sequence[Step]) -> Iterator[Statement]:
    """Yield the statements that mark the examples that steps remove; positions in `steps` are the marks."""
    stage: dict[int, Statement] = {}
    for position, step in enumerate(steps):
        if step.removal is None:
            continue
        if step.reads_others and stage:
            yield _marking(compiled, stage)
            stage = {}
        stage[position] = step.removal
        if step.reads_others:
            yield _marking(compiled, stage)
            stage = {}
    if stage:
        yield _marking(compiled, stage)


def _marking(compiled: CompiledDataset, removals: Mapping[int, Statement]) -> Statement:
    """Return the statement that marks what several steps remove, by their positions."""
    numbered = {position: _numbered(removal, position) for position, removal in removals.items()}
    steps = [{"position": position, "sql": indent(each.sql, "  ")} for position, each in numbered.items()]
    values = {each.name: each for removal in numbered.values() for each in removal.parameters}
    values |= {each.name: each for each in compiled.split_parameters}
    name = ", ".join(removal.name for removal in removals.values())
    return Statement(name, compiled.render("marks", steps=steps), list(values.values()))


def _numbered(statement: Statement, position: int) -> Statement:
    """Return a statement with its parameters numbered, since those of two rules may have one name."""
    names = {str(each.name).lower() for each in statement.parameters if each.name not in RESERVED}
    text, end = "", 0
    for sign, name in pairwise(BigQuery().tokenize(statement.sql)):
        if sign.token_type is TokenType.PARAMETER and name.text.lower() in names:
            text += f"{statement.sql[end : name.end + 1]}_{position}"
            end = name.end + 1
    parameters = [
        each if each.name in RESERVED else renamed(each, f"{each.name}_{position}") for each in statement.parameters
    ]
    return Statement(statement.name, text + statement.sql[end:], parameters)
