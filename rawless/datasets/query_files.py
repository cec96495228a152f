"""Labels and rules: SQL files with a header that describes them and declares their parameters.

Built-in queries are in `sql/labels` and `sql/rules`, a user's in the folders `labels` and `rules` that the dataset file
names.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from rawless.config import FrozenModel, check, parse_mapping
from rawless.datasets.identity import normalise_sql
from rawless.datasets.spec import Column, Constant, Cut, Name, Time, Value
from rawless.errors import UserError
from rawless.events.patterns import explain_bad_pattern, matches
from rawless.similar_names import did_you_mean
from rawless.warehouse.tables import FOLDER

Folder = Literal["labels", "rules"]
RESERVED = frozenset({"as_of"})
"""Parameters that every query may use without declaring them."""
CUT, ENTITY = "cut", "entity"
"""The argument of every rule that sets its cut, and the name by which its Jinja inserts the column that it joins by."""
_HEADER = re.compile(r"\s*/\*(.*?)\*/", re.DOTALL)
_MAX_LENGTH = 50_000
_MAX_DIGITS = 9


def _check_reserved(parameters: dict[str, Any]) -> dict[str, Any]:
    if reserved := {*RESERVED, CUT, ENTITY} & set(parameters):
        raise ValueError(f"{min(reserved)} is a name that every query has already")
    return parameters


def _check_pattern(pattern: str) -> str:
    if problem := explain_bad_pattern(pattern):
        raise ValueError(f"the pattern {problem}")
    if "*/" in pattern:
        raise ValueError("the pattern contains */, which would end the comment")
    if _count_digits(pattern) > _MAX_DIGITS:
        raise ValueError("the pattern must have at most nine digits, so that it is no customer's number")
    return pattern


def _count_digits(text: str) -> int:
    return sum(character.isdigit() for character in text)


class Parameter(FrozenModel):
    """A parameter of a query.

    A `class` is one of the label, a `source` is the name of a declared source, a `column` that of one of its columns.
    """

    type: Literal["integer", "number", "string", "strings", "class", "boolean", "timestamp", "source", "column"]
    values: tuple[Constant, ...] = Field(default=(), max_length=1000)
    """All texts that the parameter may be, unless it has a pattern."""
    pattern: Annotated[str, Field(max_length=64), AfterValidator(_check_pattern)] | None = None
    """What its texts must match."""
    default: Value | None = None
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    says: str = ""

    @model_validator(mode="after")
    def _closed_texts(self) -> "Parameter":
        is_text = self.type in ("string", "strings")
        if is_text != bool(self.values or self.pattern) or (self.values and self.pattern):
            raise ValueError(
                "a parameter of type string or strings has either values, the list of all its texts, or a pattern, and "
                "no other parameter has either"
            )
        limits = [limit for limit in (self.minimum, self.maximum) if limit is not None]
        if any(_count_digits(f"{limit!r}") > _MAX_DIGITS for limit in limits):
            raise ValueError("minimum and maximum must have at most nine digits, so that they are no customer's number")
        return self


class Header(FrozenModel):
    """The YAML comment at the top of a query."""

    says: str = Field(min_length=1, max_length=300)
    """One sentence that describes the query."""
    parameters: Annotated[dict[Name, Parameter], AfterValidator(_check_reserved)] = Field(default_factory=dict)
    constants: tuple[Constant, ...] = Field(default=(), max_length=100)
    """The texts in its SQL that are neither classes of the label nor values of a source."""
    kind: Literal["event", "pair", "subject"] | None = None
    """What a label labels; only labels have it."""
    cuts: Annotated[tuple[Cut, ...], Field(min_length=1)] = ("as_of",)
    """The cuts that a rule is written for: at the event it joins sources by event_id."""
    without_subject: Literal["keep", "drop", "judge"] | None = None
    """Whether a rule keeps events without a subject, drops them, or applies to them as to all others."""


def _built_in(folder: Folder, name: str) -> Path:
    return FOLDER / folder / f"{name}.sql"


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
    def file(self) -> str:
        """Return the file in the user's folder."""
        return f"{self.folder}/{self.name}.sql"

    @property
    def is_built_in(self) -> bool:
        """Return whether Rawless has a query of that name, which then no user has."""
        return _built_in(self.folder, self.name).is_file()

    @property
    def sql(self) -> str:
        """Return the SELECT below the header, which may contain Jinja."""
        return _HEADER.sub("", self.text, count=1).strip()

    @property
    def first_line(self) -> int:
        """Return the line of the file in which that SELECT starts."""
        return self.text[: len(self.text.rstrip()) - len(self.sql)].count("\n") + 1

    def rendered(self, header: Header, values: Mapping[str, Value | None], sql: str) -> "Query":
        """Return the query with its rendered SQL and the values of its parameters as defaults.

        Comments, descriptions and other defaults are left out: they may contain any text.
        """
        parameters = {
            name: parameter.model_copy(update={"default": values[name], "says": ""})
            for name, parameter in header.parameters.items()
        }
        bound = header.model_copy(update={"parameters": parameters, "says": f"{self.where}."})
        fields = yaml.safe_dump(bound.model_dump(mode="json", exclude_defaults=True))
        return self.model_copy(update={"text": f"/*\n{fields}*/\n{normalise_sql(sql)}\n"})


def parse_header(query: Query) -> Header:
    """Parse the header of a query. Raises UserError when it is missing or not valid."""
    match = _HEADER.match(query.text)
    if not match:
        raise UserError(
            f"{query.where} must start with a comment /* … */ in YAML: says, parameters, and kind for a label or "
            "without_subject for a rule."
        )
    fields = parse_mapping(match[1], where=f"The comment at the top of the {query.folder[:-1]} {query.name}")
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
    files = [path for path in (own_file, _built_in(folder, name)) if path.is_file()]
    if not files:
        built_in = [path.stem for path in sorted(FOLDER.joinpath(folder).glob("*.sql"))]
        own = [path.stem for path in own_file.parent.glob("*.sql")]
        raise UserError(
            f"There is no {kind} {name}{did_you_mean(name, [*built_in, *own])}: the built-in ones are "
            f"{', '.join(built_in)}, and the file {own_file} does not exist."
        )
    if len(files) > 1:
        raise UserError(f"{own_file} has the name of the built-in {kind} {name}; rename your file.")
    (file,) = files
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The {kind} {file} cannot be read as UTF-8 text ({type(error).__name__}).") from None
    return check({"folder": folder, "name": name, "text": text}, Query, where=f"The {kind} {file}")


def bind(
    query: Query, header: Header, arguments: Mapping[str, Value], classes: Collection[str]
) -> dict[str, Value | None]:
    """Return a value for each parameter that the header declares: the argument or the default, None if optional.

    `classes` are those of the label. Raises UserError for an argument that is unknown or not valid, and for one that is
    missing.
    """
    if unknown := sorted(set(arguments) - set(header.parameters)):
        declared = ", ".join(header.parameters) or "none"
        near = did_you_mean(unknown[0], header.parameters)
        raise UserError(f"{query.where} has no parameter {unknown[0]!r}{near}; its parameters: {declared}.")
    values: dict[str, Value | None] = {}
    for name, parameter in header.parameters.items():
        value = arguments.get(name, parameter.default)
        if value is None and not parameter.optional:
            raise UserError(f"{query.where} needs the parameter {name} ({_describe(parameter)}): add it.")
        values[name] = None if value is None else _validate(query, name, parameter, value, classes)
    return values


def _validate(query: Query, name: str, parameter: Parameter, value: Value, classes: Collection[str]) -> Value:
    def check_text(text: str) -> str:
        allowed = classes if parameter.type == "class" else parameter.values
        if text not in allowed and not (parameter.pattern and matches(parameter.pattern, text)):
            raise ValueError
        return text

    text = Annotated[Constant, AfterValidator(check_text)]
    limits = Field(strict=True, ge=parameter.minimum, le=parameter.maximum)
    types: dict[str, Any] = {
        "integer": Annotated[int, limits],
        "number": Annotated[float, limits, Field(allow_inf_nan=False)],
        "string": text,
        "strings": Annotated[tuple[text, ...], Field(min_length=1, max_length=1000)],
        "class": Annotated[str, AfterValidator(check_text)],
        "boolean": Annotated[bool, Field(strict=True)],
        "timestamp": Time,
        "source": Name,
        "column": Column,
    }
    try:
        valid: Value = TypeAdapter(types[parameter.type]).validate_python(value)
    except ValidationError:
        raise UserError(f"{query.where}: {name} is {value!r}, but must be {_describe(parameter)}.") from None
    if isinstance(valid, int | float) and _count_digits(repr(valid)) > _MAX_DIGITS:
        raise UserError(
            f"{query.where}: {name} is {value!r}, but must have at most nine digits, so that it is no customer's "
            "number."
        )
    return valid


def _describe(parameter: Parameter) -> str:
    texts = f"matching {parameter.pattern}" if parameter.pattern else f"of {', '.join(parameter.values)}"
    plain = f"{texts}, with at most 32 characters of A-Za-z0-9_.:%/+- and without five digits in a row"
    descriptions = {
        "integer": "a whole number", "number": "a number", "string": f"a text {plain}",
        "strings": f"a list of texts {plain}", "class": "one of the classes of the label",
        "boolean": "true or false", "timestamp": "a time with its zone", "source": "the name of a declared source",
        "column": "the name of a column",
    }  # fmt: skip
    minimum = f" of at least {parameter.minimum:g}" if parameter.minimum is not None else ""
    maximum = f" and at most {parameter.maximum:g}" if parameter.maximum is not None else ""
    return descriptions[parameter.type] + minimum + maximum
