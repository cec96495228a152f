"""Check and match the patterns of ids and attributes, which must not match free text.

RE2 matches in linear time, so neither an operator's careless pattern nor a producer's hostile value can stall a job.
"""

import math
import random
import re
import string
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import re2

_WORD = (string.ascii_letters + string.digits + "_").encode()
_FREE_CATEGORIES = (
    constants.CATEGORY_NOT_DIGIT,
    constants.CATEGORY_NOT_SPACE,
    constants.CATEGORY_NOT_WORD,
    constants.CATEGORY_SPACE,
)


def matches(pattern: str, value: str) -> bool:
    """Return whether the whole value, a short one, matches a pattern that `explain_bad_pattern` allows."""
    return value.isprintable() and _matcher(pattern)(value) is not None


def explain_bad_pattern(pattern: str) -> str | None:
    """Return why a regular expression is not allowed, as the end of a sentence, or None if it is allowed.

    It is not allowed if RE2 or Python cannot compile it, or if it matches any character, the complement of a set, or
    white space, so that free text could match.
    """
    if "[:" in pattern:  # RE2 reads a class, which may contain white space; Python, which parses it below, reads a set
        return "may match free text: write classes such as [:alpha:] as sets of characters, [A-Za-z]"
    if "{," in pattern:  # RE2 reads these characters; Python, which parses it below, reads a number of repeats
        return "may be read in two ways: write {0,9} instead of {,9}, and [{],9} for the characters"
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


def information(pattern: str, longest: int) -> float:
    """Return an upper bound of the bits that a value of at most `longest` characters can carry.

    It is the base-2 logarithm of the number of ways to match an allowed pattern, or of the number of texts of the
    characters that it names, if that is less.
    """
    tree = parser.parse(pattern, re.ASCII)
    spellings = 2 if any(_ignores_case(*node) for node in _walk(tree)) or tree.state.flags & re.IGNORECASE else 1
    characters = len({code for node in _walk(tree) for code in _characters(*node)}) * spellings
    texts = _log2_of_sum([length * math.log2(characters or 1) for length in range(longest + 1)])
    return min(_information(tree, longest, spellings), texts)


def draw(pattern: str, chance: random.Random, repeats: int) -> str:
    """Return a random text that an allowed pattern matches, unless it has parts, such as anchors, that forbid it.

    Where the pattern lets a part be repeated, it is repeated as often as that, but at most `repeats` times.
    """
    return _draw(parser.parse(pattern, re.ASCII), chance, repeats)


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> Callable[[str], Any]:
    compiled = re.compile(pattern, re.ASCII) if _is_plain(pattern) else _compiled(pattern)
    match: Callable[[str], Any] = compiled.fullmatch
    return match


def _is_plain(pattern: str) -> bool:
    """Return whether a pattern is characters and sets of them, of which at most one is repeated variably.

    Python and RE2 match it alike and in linear time, but RE2 gives up Python's lock for each value, which takes longer.
    """
    tree = parser.parse(pattern, re.ASCII)
    variable = 0
    for token, value in tree.data:
        if token is constants.MAX_REPEAT:
            least, most, repeated = value
            if len(repeated) != 1:
                return False
            variable += least != most
            ((token, value),) = repeated.data
        if not (token is constants.LITERAL or (token is constants.IN and all(_is_plain_part(*part) for part in value))):
            return False
    return variable <= 1 and tree.state.flags == re.ASCII


def _is_plain_part(token: Any, value: Any) -> bool:
    if token is constants.CATEGORY:
        return value in (constants.CATEGORY_DIGIT, constants.CATEGORY_WORD)
    return token in (constants.LITERAL, constants.RANGE)


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


def _information(node: Any, longest: int, spellings: int) -> float:
    """Return the base-2 logarithm of the number of ways to match a parsed pattern."""
    if isinstance(node, parser.SubPattern | list):
        return sum(_information(part, longest, spellings) for part in node)
    token, value = node
    if token in (constants.MAX_REPEAT, constants.MIN_REPEAT):
        least, most, repeated = value
        bits = _information(repeated, longest, spellings)
        return _log2_of_sum([count * bits for count in range(least, min(most, longest) + 1)])
    if token is constants.BRANCH:
        return _log2_of_sum([_information(part, longest, spellings) for part in value[1]])
    if token is constants.SUBPATTERN:
        return _information(value[-1], longest, spellings)
    if token is constants.IN:
        return _log2_of_sum([_information(part, longest, spellings) for part in value])
    return math.log2(max(1, len([*_characters(token, value)]) * spellings))


def _characters(token: Any, value: Any) -> Iterable[int]:
    """Return the characters that a leaf of a parsed pattern matches; none for other nodes."""
    if token is constants.LITERAL:
        return (value,)
    if token is constants.RANGE:
        return range(value[0], value[1] + 1)
    if token is constants.CATEGORY:
        return string.digits.encode() if value is constants.CATEGORY_DIGIT else _WORD
    return ()


def _ignores_case(token: Any, value: Any) -> bool:
    return token is constants.SUBPATTERN and bool(value[1] & re.IGNORECASE)


def _draw(node: Any, chance: random.Random, repeats: int) -> str:
    if isinstance(node, parser.SubPattern | list):
        return "".join(_draw(part, chance, repeats) for part in node)
    token, value = node
    if token in (constants.MAX_REPEAT, constants.MIN_REPEAT):
        least, most, repeated = value
        return "".join(_draw(repeated, chance, repeats) for _ in range(max(least, min(most, repeats))))
    if token is constants.BRANCH:
        return _draw(chance.choice(value[1]), chance, repeats)
    if token is constants.SUBPATTERN:
        return _draw(value[-1], chance, repeats)
    parts = value if token is constants.IN else [node]
    codes = sorted({code for part in parts for code in _characters(*part)})
    return chr(chance.choice(codes)) if codes else ""


def _log2_of_sum(exponents: list[float]) -> float:
    """Return the logarithm of a sum of powers of two."""
    highest = max(exponents, default=0.0)
    return highest + math.log2(sum(2 ** (exponent - highest) for exponent in exponents) or 1)


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
