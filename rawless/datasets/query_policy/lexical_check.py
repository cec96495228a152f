"""The words of a query, held against BigQuery's own grammar: no quote or comment hides any, each call is known.

A parser reads quotes otherwise than BigQuery here and there, and who knows where hides a query in a string. So each
word must be one that both read alike, with nothing between two words but space and comments.
"""

import re

from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token

from rawless.datasets.query_policy.allowed_functions import FUNCTIONS, KEYWORDS, SHAPES

_LONGEST, _LONGEST_SHOWN, _MOST_WORK = 20_000, 60, 100_000
_BETWEEN = re.compile(r"(?:\s|(?:--|#)[^\n]*\n|/\*(?:(?!\*/).)*\*/)*", re.DOTALL)
_STRING = r"""[rRbB]?(?:'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*")"""
_NAMED = r"`[A-Za-z_]\w*`|[A-Za-z_]\w*(?:\s+[A-Za-z_]\w*)*|\d[\w.]*(?:(?<=[eE])[+-]\d+)?"
_OPERATOR = r"""(?!--|/\*)[^\w\s'"`#\\\x80-\U0010ffff]+"""
_WORD = re.compile(f"{_STRING}|{_NAMED}|{_OPERATOR}", re.ASCII)
_NAME = re.compile(r"`?[A-Z_][A-Z0-9_ ]*`?")
_NOT_ALLOWED = {
    ";": "a semicolon: leave it out, one SELECT is all that it may be",
    "?": "a parameter without a name: write @NAME",
    "|>": "the pipe |>: write a SELECT",
    "{": "a brace, as hints have: leave it out",
    "RECURSIVE": "RECURSIVE: give each part a name by WITH",
    "FOR SYSTEM_TIME": "FOR SYSTEM_TIME: leave it out, sources are cut at the as-of",
    "TABLESAMPLE": "TABLESAMPLE: choose by FARM_FINGERPRINT of an id",
}


class Refused(Exception):
    """What is wrong, and the mend."""


def read(text: str) -> tuple[list[Token], list[str]]:
    """The words as sqlglot's tokens, and as the text has them, in upper case. Raises Refused."""
    _check_text(text)
    text += "\n"  # which ends a comment, here as where the text is put
    try:
        tokens = BigQuery().tokenize(text)
    except SqlglotError:
        raise Refused("cannot be read as GoogleSQL: close each quote and comment") from None
    words = [text[token.start : token.end + 1] for token in tokens]
    _check_first(words)
    place = 0
    for token, word in zip(tokens, words, strict=True):
        if not (_BETWEEN.fullmatch(text, place, token.start) and _WORD.fullmatch(word)):
            raise Refused(f"holds {shown(text[place : token.end + 1])}: {_mend(word)}")
        place = token.end + 1
    if not _BETWEEN.fullmatch(text, place):
        raise Refused("ends in a comment that is not closed: close it")
    words = [" ".join(word.upper().split()) for word in words]
    _check_words(words)
    _check_work(words)
    return tokens, words


def shown(text: str) -> str:
    """A piece of the text, for a message."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _mend(word: str) -> str:
    if word.startswith("`"):
        return "in backticks stands one plain word, without project and dataset"
    return (
        "write a string in one pair of quotes, on one line" if word[-1] in "'\"" else "write plain words of GoogleSQL"
    )


def _check_text(text: str) -> None:
    if len(text) > _LONGEST:
        raise Refused(f"is longer than {_LONGEST:,} characters: make it shorter")
    for character in text.replace("\r\n", "\n"):
        if not character.isprintable() and character not in "\n\t":
            raise Refused(f"holds the character U+{ord(character):04X}, which cannot be printed: leave it out")
    if leftover := re.search(r"{[{%#]", text):
        raise Refused(f"holds {leftover[0]}, of a template: write plain SQL, in which values come as @NAME")


def _check_first(words: list[str]) -> None:
    first = next((word for word in words if word != "("), None)
    if first is None:
        raise Refused("holds no SQL: write one SELECT")
    if first.upper() not in ("SELECT", "WITH"):
        raise Refused(f"begins with {shown(first)}: write one SELECT and nothing else")


def _check_words(words: list[str]) -> None:
    padded = ["", "", "", "", *words]
    for place, word in enumerate(words):
        before = padded[place : place + 4]
        if word in _NOT_ALLOWED:
            raise Refused(f"holds {_NOT_ALLOWED[word]}")
        if word == "FORMAT" and (before[-2] == "AS" or before[-1] in (")", ">")):
            raise Refused("casts by FORMAT, which fills gaps by today's date: call PARSE_DATE, FORMAT_DATE or the like")
        if word == "(" and _NAME.fullmatch(before[-1]):
            _check_call(*before)


def _check_call(third: str, second: str, dot: str, name: str) -> None:
    """The words before a parenthesis. Behind a dot, and in backticks, a keyword is a name like any other."""
    if dot == "." and (second != "SAFE" or third == "."):
        raise Refused(f"calls {shown(second + dot + name)}: before a function's name stands SAFE. or nothing")
    known = FUNCTIONS if dot == "." or name.startswith("`") else FUNCTIONS | SHAPES | KEYWORDS
    if name.strip("`").split()[-1] not in known:
        raise Refused(
            f"calls {shown(name)}, which is none of the functions that surely answer alike each time: drop it"
        )


def _check_work(words: list[str]) -> None:
    """Parsing tries what stands in a call's parentheses twice, and so doubles with each call within a call."""
    total, opened = 0, [1]
    for before, word in zip(["", *words], words, strict=False):
        total += opened[-1]
        if total > _MOST_WORK:
            raise Refused("has too many calls within calls: name its parts by WITH")
        if word in ("(", "["):
            opened.append(opened[-1] * (1 if before in KEYWORDS else 2))
        elif word in (")", "]") and len(opened) > 1:
            opened.pop()
