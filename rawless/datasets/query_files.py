"""Labels and rules: SQL files with a header that says what they do and which parameters they take.

Ours lie in `sql/labels` and `sql/rules`; a user's own in the folders `labels` and `rules` that the dataset file names.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from rawless.config import FrozenModel, check
from rawless.datasets.spec import Column, Name, Text, Time, Value
from rawless.errors import UserError
from rawless.warehouse.tables import FOLDER

Folder = Literal["labels", "rules"]
RESERVED = frozenset({"as_of"})
"""Parameters that every query may use."""
_HEADER = re.compile(r"\s*/\*(.*?)\*/", re.DOTALL)
_LONGEST = 20_000


def _no_reserved(names: dict[str, Any]) -> dict[str, Any]:
    if taken := RESERVED & set(names):
        raise ValueError(f"{min(taken)} is a parameter that every query has")
    return names


class Parameter(FrozenModel):
    """What a query asks for. A `source` is a declared source's name, a `column` one of its columns."""

    type: Literal["integer", "number", "string", "strings", "boolean", "timestamp", "source", "column"]
    default: Value | None = None
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    says: str = ""


class Header(FrozenModel):
    """The comment at the top of a query."""

    says: str = Field(min_length=1, max_length=300)
    """One sentence."""
    parameters: Annotated[dict[Name, Parameter], AfterValidator(_no_reserved)] = Field(default_factory=dict)
    kind: Literal["event", "pair", "subject"] | None = None
    """Of a label."""
    without_subject: Literal["keep", "drop", "judge"] | None = None
    """What a rule does with events of nobody: keeps them, drops them, or judges them as all others."""


class Query(FrozenModel):
    """A file of SQL, as text, so that a snapshot's manifest can hold it."""

    folder: Folder
    name: Name
    text: str = Field(max_length=_LONGEST)

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"The {self.folder[:-1]} {self.name}"

    @property
    def header(self) -> Header:
        """What it says of itself. Raises UserError."""
        match = _HEADER.match(self.text)
        if not match:
            raise UserError(
                f"{self.where} must start with a comment /* … */ in YAML: says, parameters, and kind for a label or "
                "without_subject for a rule."
            )
        try:
            data = yaml.safe_load(match[1])
        except (yaml.YAMLError, ValueError, RecursionError):
            raise UserError(f"{self.where} has a comment at the top that is no YAML: mend it.") from None
        header = check(data, Header, where=self.where)
        if (header.kind is None) == (self.folder == "labels") or (header.without_subject is None) == (
            self.folder == "rules"
        ):
            needed = "kind" if self.folder == "labels" else "without_subject: keep, drop or judge"
            raise UserError(
                f"{self.where} must say {needed} in its comment, and nothing that belongs to the other kind."
            )
        return header

    @property
    def sql(self) -> str:
        """The SELECT, with Jinja in it."""
        return _HEADER.sub("", self.text, count=1).strip()


def find(folder: Folder, name: str, own: Path) -> Query:
    """A query of ours or, from the user's folder, an own one. Raises UserError when there is none, or both."""
    places = [each for each in (own / folder / f"{name}.sql", FOLDER / folder / f"{name}.sql") if each.is_file()]
    kind = folder[:-1]
    if not places:
        known = ", ".join(path.stem for path in sorted(FOLDER.joinpath(folder).glob("*.sql")))
        raise UserError(
            f"There is no {kind} {name}: it is none of ours ({known}), and {own / folder / name}.sql does not exist."
        )
    if len(places) > 1:
        raise UserError(f"The {kind} {name} is one of ours, and {places[0]} is another: rename yours.")
    try:
        text = places[0].read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The {kind} {places[0]} cannot be read as UTF-8 text ({type(error).__name__}).") from None
    return check({"folder": folder, "name": name, "text": text}, Query, where=f"The {kind} {places[0]}")


def bind(query: Query, given: Mapping[str, Value]) -> dict[str, Value | None]:
    """A value for each parameter of the header. Raises UserError for one that is unknown, missing or does not fit."""
    header = query.header
    if unknown := sorted(set(given) - set(header.parameters)):
        takes = ", ".join(header.parameters) or "none"
        raise UserError(f"{query.where} knows no parameter {unknown[0]!r}: it takes {takes}.")
    bound: dict[str, Value | None] = {}
    for name, parameter in header.parameters.items():
        value = given.get(name, parameter.default)
        if value is None and not parameter.optional:
            raise UserError(f"{query.where} needs the parameter {name} ({_asked(parameter)}): add it.")
        bound[name] = None if value is None else _fitted(query, name, parameter, value)
    return bound


def _fitted(query: Query, name: str, parameter: Parameter, value: Value) -> Value:
    types: dict[str, Any] = {
        "integer": Annotated[int, Field(strict=True, ge=parameter.minimum, le=parameter.maximum)],
        "number": Annotated[float, Field(strict=True, ge=parameter.minimum, le=parameter.maximum, allow_inf_nan=False)],
        "string": Text,
        "strings": Annotated[tuple[Text, ...], Field(min_length=1, max_length=1000)],
        "boolean": Annotated[bool, Field(strict=True)],
        "timestamp": Time,
        "source": Name,
        "column": Column,
    }
    try:
        fitted: Value = TypeAdapter(types[parameter.type]).validate_python(value)
    except ValidationError:
        raise UserError(f"{query.where}: {name} is {value!r}, but must be {_asked(parameter)}.") from None
    return fitted


def _asked(parameter: Parameter) -> str:
    words = {
        "integer": "a whole number", "number": "a number", "string": "a text", "strings": "a list of texts",
        "boolean": "true or false", "timestamp": "a time with its zone", "source": "the name of a declared source",
        "column": "the name of a column",
    }  # fmt: skip
    least = f" of at least {parameter.minimum:g}" if parameter.minimum is not None else ""
    most = f" and at most {parameter.maximum:g}" if parameter.maximum is not None else ""
    return words[parameter.type] + least + most
