"""Patterns of ids and attributes, bounded so that they can carry neither free text nor a slow match."""

import re
from collections.abc import Iterator
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT)
_FREE_CATEGORIES = (
    constants.CATEGORY_NOT_DIGIT,
    constants.CATEGORY_NOT_SPACE,
    constants.CATEGORY_NOT_WORD,
    constants.CATEGORY_SPACE,
)


def fault_of(pattern: str) -> str | None:
    """Why the regular expression is refused, as the end of a sentence; None when it is accepted.

    Refused are: what does not compile; what matches any character, the complement of a set, or white space
    (free text would fit); and a repeat or an alternative inside a repeat without bound (a hostile value would
    match for minutes).
    """
    try:
        re.compile(pattern, re.ASCII)
        tree = parser.parse(pattern, re.ASCII)
    except (re.error, RecursionError, OverflowError):
        return "is no regular expression"
    for token, value in _walk(tree):
        if _is_free(token, value):
            return "may match free text: name the characters it allows, without '.', '[^…]', '\\S' or white space"
        if token in _REPEATS and value[1] == constants.MAXREPEAT and _may_backtrack(value[2]):
            return "repeats a repeat or an alternative without bound, which can take minutes: bound it, as in {1,8}"
    return None


def _is_free(token: Any, value: Any) -> bool:
    if token in (constants.ANY, constants.NOT_LITERAL, constants.NEGATE):
        return True
    if token is constants.CATEGORY:
        return bool(value in _FREE_CATEGORIES)
    if token is constants.LITERAL:
        return chr(value).isspace()
    if token is constants.RANGE:
        return bool(value[0] <= 0x20 or value[1] > 0x7E)  # spans white space, or letters of any script
    return False


def _may_backtrack(tree: Any) -> bool:
    return any(token in _REPEATS or token is constants.BRANCH for token, _ in _walk(tree))


def _walk(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (operator, argument) pair of a parsed pattern, depth first."""
    if isinstance(node, parser.SubPattern):
        node = node.data
    if isinstance(node, tuple) and len(node) == 2 and isinstance(node[0], constants._NamedIntConstant):
        yield node
        node = node[1]
    if isinstance(node, list | tuple | parser.SubPattern):
        for part in node:
            yield from _walk(part)
