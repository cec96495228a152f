"""Read YAML files into validated models, and describe an invalid value in one sentence."""

import re
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from rawless.errors import UserError
from rawless.similar_names import did_you_mean, similar
from rawless.text_encoding import wide_encoding

M = TypeVar("M", bound=BaseModel)
_MAX_VALUE_LENGTH = 60
_MAX_VALUES = 1_000_000
"""Of a file, each counted as often as aliases repeat it: a few lines of aliases would otherwise fill the memory."""
_MAX_DIGITS = 100
"""Of a number: Python refuses to print one that has thousands."""
_MAX_DURATION = timedelta(days=366_000)
_SECRET = re.compile("sha256|secret|token|key|password|credential", re.IGNORECASE)
"""Names of fields whose values, and all below them, may be secret."""
_KEY_ITSELF = "[key]"
"""The last part of a location where the key of a mapping is invalid."""
_NOT_SHOWN = "(not shown)"
_OF_A_LIST = ("literal_error", "union_tag_invalid")
"""The types of errors about a value that is none of a list."""
_EXPECTED = re.compile("'([^']+)'")
"""A value in the message about one that is none of a list."""
_QUOTED_BY_YAML = re.compile(r"""'[^']*'|"[^"]*\"""")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 366 * 86400}


class FrozenModel(BaseModel):
    """Base class of every model that is read from a file: immutable, without unknown fields, with finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _duration(value: Any) -> timedelta:
    """Parse a duration such as '90d' or '10y'; a year has 366 days."""
    if isinstance(value, timedelta):
        return value
    if not (match := re.fullmatch(r"(\d{1,11})([smhdwy])", str(value), re.ASCII)):
        raise ValueError("a duration is a whole number and a unit, such as 30s, 15m, 12h, 90d, 2w or 10y")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if not 0 < seconds <= _MAX_DURATION.total_seconds():
        raise ValueError("a duration is greater than zero and at most 1000y")
    return timedelta(seconds=seconds)


def parse_duration(text: str, what: str) -> timedelta:
    """Return a duration that an option gives. Raises UserError, which names the option, if it is none."""
    try:
        return _duration(text)
    except ValueError as error:
        raise UserError(f"{what} is not a duration: {error}.") from None


Duration = Annotated[
    timedelta, BeforeValidator(_duration), PlainSerializer(lambda duration: f"{int(duration.total_seconds())}s")
]


class _Refused(yaml.MarkedYAMLError):
    """What YAML allows and Rawless does not. Its problem contains no secret."""


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys, of which YAML would silently keep the last, and files that explode."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values = 0
        self._sizes: dict[yaml.Node, int] = {}
        """How many values each node has, once all of them are known."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        before = self._values
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        node: yaml.Node | None = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise _Refused(problem="an alias is inside of what it repeats", problem_mark=mark)
            self._values += self._sizes[node]
        else:
            self._values += 1
        if self._values > _MAX_VALUES:
            problem = f"there are more than {_MAX_VALUES:,} values, counted as often as aliases repeat them"
            raise _Refused(problem=problem, problem_mark=mark)
        if node is not None:
            self._sizes[node] = self._values - before
        return node

    def construct_yaml_int(self, node: Any) -> int:
        number = super().construct_yaml_int(node)
        if abs(number) >= 10**_MAX_DIGITS:
            raise _Refused(problem=f"a number has more than {_MAX_DIGITS} digits", problem_mark=node.start_mark)
        return number

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _Refused(problem=f"the key {_quoted(key.value)} is repeated", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)


def read_yaml(path: Path, model: type[M], *, what: str) -> M:
    """Read a YAML file as a `model`; `what` names the kind of file in errors.

    Raises UserError if the file cannot be read, is not YAML, or breaks a rule of the model.
    """
    return check(read_mapping(path, what=what), model, where=f"The {what} {path}")


def read_mapping(path: Path, *, what: str) -> dict[str, Any]:
    """Read the fields of a YAML file without validation. Raises UserError unless it is a mapping in YAML."""
    try:
        content = path.read_bytes()
        encoding = wide_encoding(content)
        text = "" if encoding else content.decode()
    except FileNotFoundError:
        raise UserError(f"The {what} {path} does not exist: check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The {what} {path} cannot be read as UTF-8 text ({type(error).__name__}).") from None
    if encoding:
        raise UserError(
            f"The {what} {path} is text in {encoding}, but must be UTF-8: save it as UTF-8, or convert it as in "
            f"`iconv -f {encoding} -t UTF-8`."
        )
    return parse_mapping(text, where=f"The {what} {path}")


def parse_mapping(text: str, *, where: str) -> dict[str, Any]:
    """Parse the fields of a text in YAML without validation. Raises UserError, which starts with `where`."""
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML raises all of these for an explicit tag that does not match its value.
        mark = getattr(error, "problem_mark", None)
        position = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        if not isinstance(error, _Refused):
            problem = _QUOTED_BY_YAML.sub(_without_text, problem)
        raise UserError(f"{where} is not valid YAML{position}: {problem}.") from None
    if not isinstance(data, dict):
        raise UserError(f"{where} must be a mapping of fields to values, not {type(data).__name__}.")
    return data


def _without_text(quoted: re.Match[str]) -> str:
    """Return a character or the kind of a token as it is. An alias or a tag may be a secret that was not quoted."""
    text = quoted[0][1:-1]
    return quoted[0] if len(text) == 1 or text.startswith("<") else _NOT_SHOWN


def check(data: Any, model: type[M], *, where: str) -> M:
    """Validate data as a `model`. Raises UserError naming the first invalid field, its value and the rule.

    A value is not shown if the name of its field, or of one around it, says that it may be secret.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{where}: {_sentence(error, model)}") from None


def _misspelt(error: ValidationError) -> Any:
    """Return the first error of an unknown field that is spelt like one that is missing beside it; None without one."""
    missing = [each["loc"] for each in error.errors() if each["type"] == "missing"]
    for each in error.errors():
        *around, name = each["loc"] or ("",)
        beside = [str(loc[-1]) for loc in missing if [*loc[:-1]] == around]
        if each["type"] == "extra_forbidden" and similar(str(name), beside):
            return each
    return None


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    first = _misspelt(error) or error.errors()[0]
    field = ".".join(_field_name(part) for part in first["loc"] if not _is_tag(part)) or "the file"
    if first["type"] == "missing":
        return f"the field {field} is missing; add it."
    if first["type"] == "extra_forbidden":
        *around, name = first["loc"]
        known = {known for each in _models_at(model, around) for known in each.model_fields}
        meant = similar(str(name), known)
        advice = f"correct its name to {meant}, or remove it." if meant else "remove it or correct its name."
        return f"the field {field} is unknown; {advice}"
    rule = " ".join(first["msg"].removeprefix("Value error, ").split())
    value = first["input"]
    if first["type"] == "union_tag_invalid":
        named, value = first["ctx"]["discriminator"].strip("'"), first["ctx"]["tag"]
        field, rule = f"{field}.{named}", f"it is one of {first['ctx']['expected_tags']}"
    if any(_SECRET.search(str(part)) for part in first["loc"] if part != _KEY_ITSELF):
        rule = rule.replace(str(value), _NOT_SHOWN) if value else rule  # a validator may quote it
        return f"{field} is {_NOT_SHOWN}, but the rule is: {rule}."
    near = (
        did_you_mean(value, _EXPECTED.findall(rule)) if first["type"] in _OF_A_LIST and isinstance(value, str) else ""
    )
    return f"{field} is {_described(value)}, but the rule is: {rule}{near}."


def _models_at(annotation: Any, location: Sequence[int | str]) -> set[type[BaseModel]]:
    """Return the models that a value at a location may have, which goes from an annotation through names and keys."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        of = [part for part in location if not _is_tag(part)]
        if not of:
            return {annotation}
        field = annotation.model_fields.get(str(of[0]))
        return _models_at(field.annotation, of[1:]) if field else set()
    # A mapping or a list takes one part of the location, and a union takes none.
    inner = get_args(annotation)
    is_collection = isinstance(origin := get_origin(annotation), type) and issubclass(origin, Collection)
    left = location[1:] if is_collection else location
    return {model for each in inner for model in _models_at(each, left)}


def _is_tag(part: int | str) -> bool:
    """Return whether a part of a location is the tag of a union, which is no field that a user knows."""
    return isinstance(part, str) and part.startswith("<")


def _field_name(part: int | str) -> str:
    text = str(part)
    return text if text.isprintable() and len(text) <= _MAX_VALUE_LENGTH else _quoted(text)


def _described(value: Any) -> str:
    """Return a single value, or a list of them, as it is, and the kind of any other, which may contain secrets."""
    if isinstance(value, dict) and value:
        return "a mapping"
    if isinstance(value, list) and any(isinstance(item, list | tuple | dict | set) for item in value):
        return "a list"
    return _quoted(value)


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_VALUE_LENGTH else text[: _MAX_VALUE_LENGTH - 1] + "…"
