"""The part of Cloud Logging's query language that the filters of the deployment use, to try them on sample entries."""

import re
from collections.abc import Iterator
from typing import Any

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[()]|=~|>=|[=:<]|[^\s()=:<>"]+')


def matches(text: str, entry: dict[str, Any]) -> bool:
    """Return whether a filter selects a log entry."""
    tokens = _TOKEN.findall(text)
    assert "".join(tokens) == re.sub(r"\s+", "", text), "the filter contains something that is not implemented"
    result = _conjunction(tokens, entry)
    assert not tokens
    return result


def _conjunction(tokens: list[str], entry: dict[str, Any]) -> bool:
    """Terms beside each other must all match; OR binds more tightly."""
    results = []
    while tokens and tokens[0] != ")":
        if tokens[0] == "AND":
            tokens.pop(0)
        alternatives = [_term(tokens, entry)]
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            alternatives.append(_term(tokens, entry))
        results.append(any(alternatives))
    return all(results)


def _term(tokens: list[str], entry: dict[str, Any]) -> bool:
    token = tokens.pop(0)
    if token == "NOT":
        return not _term(tokens, entry)
    if token == "(":
        result = _conjunction(tokens, entry)
        assert tokens.pop(0) == ")"
        return result
    while token.endswith("."):  # a part of the field's name is quoted
        token += tokens.pop(0).strip('"')
    values = list(_values(entry, token.split(".")))
    operator = tokens.pop(0)
    wanted = [tokens.pop(0)]
    if wanted == ["("]:
        wanted = []
        while (word := tokens.pop(0)) != ")":
            wanted += [word] if word != "OR" else []
    return any(_compare(value, operator, word.strip('"').replace("\\\\", "\\")) for value in values for word in wanted)


def _values(value: Any, path: list[str]) -> Iterator[Any]:
    """The values of a field; a repeated field has several."""
    if isinstance(value, list):
        for item in value:
            yield from _values(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def _compare(value: Any, operator: str, wanted: str) -> bool:
    if operator == ":" and wanted == "*":
        return True
    if operator == ":":
        return wanted.lower() in str(value).lower()
    if operator == "=~":
        return re.search(wanted, str(value)) is not None
    assert operator == "="
    return str(value) == wanted
