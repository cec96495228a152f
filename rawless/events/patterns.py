"""Check and match the patterns of ids and attributes, which must not match free text.

RE2 matches in linear time, so neither an operator's careless pattern nor a producer's hostile value can stall a job.
"""

import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import re2

_FREE_CATEGORIES = (
    constants.CATEGORY_NOT_DIGIT,
    constants.CATEGORY_NOT_SPACE,
    constants.CATEGORY_NOT_WORD,
    constants.CATEGORY_SPACE,
)


def matches(pattern: str, value: str) -> bool:
    """Return whether the whole value matches a pattern that `explain_bad_pattern` allows."""
    return value.isprintable() and _compiled(pattern).fullmatch(value) is not None


def explain_bad_pattern(pattern: str) -> str | None:
    """Return why a regular expression is not allowed, as the end of a sentence, or None if it is allowed.

    It is not allowed if RE2 or Python cannot compile it, or if it matches any character, the complement of a set, or
    white space, so that free text could match.
    """
    if "[:" in pattern:  # RE2 reads a class, which may contain white space; Python, which parses it below, reads a set
        return "may match free text: write classes such as [:alpha:] as sets of characters, [A-Za-z]"
    try:
        _compiled(pattern)
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # for sets that Python and RE2 may read differently
            tree = parser.parse(pattern, re.ASCII)
    except (re2.error, re.error, RecursionError, OverflowError, FutureWarning):
        return "is not a regular expression in RE2's syntax"
    if any(_is_free(token, value) for token, value in _walk(tree)):
        return "may match free text: name the characters it allows, without '.', '[^…]', '\\S' or white space"
    return None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


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


def _walk(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (operator, argument) pair of a parsed pattern, depth first."""
    if isinstance(node, parser.SubPattern):
        node = node.data
    if isinstance(node, tuple) and len(node) == 2 and isinstance(node[0], constants._NamedIntConstant):
        yield node
        node = node[1]
    if isinstance(node, list | tuple | parser.SubPattern):
        for part in node:
            yield from _walk(part)
