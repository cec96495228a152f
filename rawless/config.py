"""Reading a YAML file into a checked model, with faults told in one sentence."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from rawless.errors import UserError

M = TypeVar("M", bound=BaseModel)
_LONGEST_VALUE = 60
_LONGEST = timedelta(days=366_000)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 366 * 86400}


class FrozenModel(BaseModel):
    """Base class of every model that is read from a file: immutable, without unknown fields, with finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _duration(value: Any) -> Any:
    """'90d' or '10y' as a timedelta; a year counts 366 days."""
    if isinstance(value, timedelta):
        return value
    if not (match := re.fullmatch(r"(\d{1,11})([smhdwy])", str(value), re.ASCII)):
        raise ValueError("a duration is a whole number and a unit: 30s, 15m, 12h, 90d, 2w or 10y")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if not 0 < seconds <= _LONGEST.total_seconds():
        raise ValueError("a duration is more than nothing and at most 1000y")
    return timedelta(seconds=seconds)


Duration = Annotated[
    timedelta, BeforeValidator(_duration), PlainSerializer(lambda duration: f"{int(duration.total_seconds())}s")
]


class _NoDuplicates(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {_shown(key.value)} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, model: type[M], *, what: str) -> M:
    """The file as a `model`. Raises UserError for a file that cannot be read, is no YAML, or breaks a rule."""
    return check(read_mapping(path, what=what), model, where=f"The {what} {path}")


def read_mapping(path: Path, *, what: str) -> dict[str, Any]:
    """The file's fields, unchecked. Raises UserError for a file that cannot be read or is no mapping in YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"The {what} {path} does not exist: check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The {what} {path} cannot be read as UTF-8 text ({type(error).__name__}).") from None
    try:
        data = yaml.load(text, Loader=_NoDuplicates)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML raises all of these for explicit tags that do not fit.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise UserError(f"The {what} {path} is no valid YAML{place}: {problem}.") from None
    if not isinstance(data, dict):
        raise UserError(f"The {what} {path} must be a mapping of fields to values, not {type(data).__name__}.")
    return data


def check(data: Any, model: type[M], *, where: str) -> M:
    """The data as a `model`. Raises UserError naming the first field that breaks a rule, its value and the rule."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{where}: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    fault = error.errors()[0]
    field = ".".join(_named(part) for part in fault["loc"] if not _is_tag(part)) or "the file"
    if fault["type"] == "missing":
        return f"the field {field} is missing; add it."
    if fault["type"] == "extra_forbidden":
        return f"the field {field} is unknown; remove it or mend its name."
    rule = " ".join(fault["msg"].removeprefix("Value error, ").split())
    return f"{field} is {_shown(fault['input'])}, but the rule is: {rule}."


def _is_tag(part: int | str) -> bool:
    """The kind of a tagged union stands in a fault's place; a user knows only fields and positions."""
    return isinstance(part, str) and part.startswith("<")


def _named(part: int | str) -> str:
    text = str(part)
    return text if text.isprintable() and len(text) <= _LONGEST_VALUE else _shown(text)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
