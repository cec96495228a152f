"""Labels and rules: SQL files with a header that describes them and declares their parameters.

Built-in queries are in `sql/labels` and `sql/rules`, a user's in the folders `labels` and `rules` that the dataset file
names.
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
"""Parameters that every query may use without declaring them."""
_HEADER = re.compile(r"\s*/\*(.*?)\*/", re.DOTALL)
_MAX_LENGTH = 20_000


def _check_reserved(parameters: dict[str, Any]) -> dict[str, Any]:
    if reserved := RESERVED & set(parameters):
        raise ValueError(f"{min(reserved)} is a parameter that every query has")
    return parameters


class Parameter(FrozenModel):
    """A parameter of a query. A `source` is the name of a declared source, a `column` that of one of its columns."""

    type: Literal["integer", "number", "string", "strings", "boolean", "timestamp", "source", "column"]
    default: Value | None = None
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    says: str = ""


class Header(FrozenModel):
    """The YAML comment at the top of a query."""

    says: str = Field(min_length=1, max_length=300)
    """One sentence that describes the query."""
    parameters: Annotated[dict[Name, Parameter], AfterValidator(_check_reserved)] = Field(default_factory=dict)
    kind: Literal["event", "pair", "subject"] | None = None
    """What a label labels; only labels have it."""
    without_subject: Literal["keep", "drop", "judge"] | None = None
    """Whether a rule keeps events without a subject, drops them, or applies to them as to all others."""


class Query(FrozenModel):
    """A label or rule as text, so that a snapshot's manifest can store it."""

    folder: Folder
    name: Name
    text: str = Field(max_length=_MAX_LENGTH)

    @property
    def where(self) -> str:
        """Return what error messages call the query."""
        return f"The {self.folder[:-1]} {self.name}"

    @property
    def sql(self) -> str:
        """Return the SELECT below the header, which may contain Jinja."""
        return _HEADER.sub("", self.text, count=1).strip()


def parse_header(query: Query) -> Header:
    """Parse the header of a query. Raises UserError when it is missing or not valid."""
    match = _HEADER.match(query.text)
    if not match:
        raise UserError(
            f"{query.where} must start with a comment /* … */ in YAML: says, parameters, and kind for a label or "
            "without_subject for a rule."
        )
    try:
        fields = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UserError(f"{query.where} starts with a comment that is not valid YAML; correct it.") from None
    header = check(fields, Header, where=query.where)
    is_label = query.folder == "labels"
    if (header.kind is not None) != is_label or (header.without_subject is not None) == is_label:
        required = "kind" if is_label else "without_subject: keep, drop or judge"
        raise UserError(
            f"{query.where} must declare {required} in its header, and no field of the other kind of query."
        )
    return header


def find_query(folder: Folder, name: str, own_folder: Path) -> Query:
    """Read the built-in query of that name, or the one in the user's folder.

    Raises UserError when there is none, when there are both, and when the file is not UTF-8 text.
    """
    kind, own_file = folder[:-1], own_folder / folder / f"{name}.sql"
    files = [path for path in (own_file, FOLDER / folder / f"{name}.sql") if path.is_file()]
    if not files:
        built_in = ", ".join(path.stem for path in sorted(FOLDER.joinpath(folder).glob("*.sql")))
        raise UserError(
            f"There is no {kind} {name}: the built-in ones are {built_in}, and the file {own_file} does not exist."
        )
    if len(files) > 1:
        raise UserError(f"{own_file} has the name of the built-in {kind} {name}; rename your file.")
    (file,) = files
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The {kind} {file} cannot be read as UTF-8 text ({type(error).__name__}).") from None
    return check({"folder": folder, "name": name, "text": text}, Query, where=f"The {kind} {file}")


def bind(query: Query, header: Header, arguments: Mapping[str, Value]) -> dict[str, Value | None]:
    """Return a value for each parameter that the header declares: the argument or the default, None if optional.

    Raises UserError for an argument that is unknown or not valid, and for one that is missing.
    """
    if unknown := sorted(set(arguments) - set(header.parameters)):
        declared = ", ".join(header.parameters) or "none"
        raise UserError(f"{query.where} has no parameter {unknown[0]!r}; its parameters: {declared}.")
    values: dict[str, Value | None] = {}
    for name, parameter in header.parameters.items():
        value = arguments.get(name, parameter.default)
        if value is None and not parameter.optional:
            raise UserError(f"{query.where} needs the parameter {name} ({_describe(parameter)}): add it.")
        values[name] = None if value is None else _validate(query, name, parameter, value)
    return values


def _validate(query: Query, name: str, parameter: Parameter, value: Value) -> Value:
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
        valid: Value = TypeAdapter(types[parameter.type]).validate_python(value)
    except ValidationError:
        raise UserError(f"{query.where}: {name} is {value!r}, but must be {_describe(parameter)}.") from None
    return valid


def _describe(parameter: Parameter) -> str:
    descriptions = {
        "integer": "a whole number", "number": "a number", "string": "a text", "strings": "a list of texts",
        "boolean": "true or false", "timestamp": "a time with its zone", "source": "the name of a declared source",
        "column": "the name of a column",
    }  # fmt: skip
    minimum = f" of at least {parameter.minimum:g}" if parameter.minimum is not None else ""
    maximum = f" and at most {parameter.maximum:g}" if parameter.maximum is not None else ""
    return descriptions[parameter.type] + minimum + maximum
