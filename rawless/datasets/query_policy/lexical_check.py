"""Check the tokens of a query: BigQuery and sqlglot read each of them in the same way, and each call is known.

sqlglot reads some quotes differently from BigQuery, which could be used to hide a query in a string. So every token
must have a form that both read in the same way, with nothing between two tokens but white space and comments.
"""

import re
from collections.abc import Iterator

from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token

from rawless.datasets.query_policy.allowed_functions import FUNCTIONS, KEYWORDS, SHAPES, UNSAFE
from rawless.similar_names import SURE, did_you_mean

_MAX_LENGTH, _MAX_EXCERPT, _MAX_PARSER_STEPS, _MAX_DIGITS = 20_000, 60, 100_000, 9
_BETWEEN = re.compile(r"(?:\s|(?:--|#)[^\n]*\n|/\*(?:(?!\*/).)*\*/)*", re.DOTALL)
_STRING = r"""[rRbB]?(?:'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*")"""
_WORD = r"`[A-Za-z_]\w*`|[A-Za-z_]\w*(?:\s+[A-Za-z_]\w*)*|\d[\w.]*(?:(?<=[eE])[+-]\d+)?"
_OPERATOR = r"""(?!--|/\*)[^\w\s'"`#\\\x80-\U0010ffff]+"""
_TOKEN = re.compile(f"{_STRING}|{_WORD}|{_OPERATOR}", re.ASCII)
_QUOTED = re.compile(r"""[rRbB]?(['"])(.*)\1""", re.DOTALL)
_HEXADECIMAL = re.compile(r"0X[0-9A-F]*")
_NAME = re.compile(r"`?[A-Z_][A-Z0-9_ ]*`?")
_OPERATORS = frozenset([*"()[],.+-*/<>=|&^~@:", "<=", ">=", "!=", "<>", "||", "<<", ">>", "->", "=>"])
_NOT_ALLOWED = {
    ";": "a semicolon: remove it, only one SELECT is allowed",
    "?": "a parameter without a name: write @NAME",
    "::": "a cast by ::, which BigQuery refuses: write CAST(… AS …)",
    "%": "the operator %, which BigQuery refuses: write MOD(…, …)",
    "|>": "the pipe |>: write a SELECT",
    "{": "a brace, as in a hint: remove it",
    "RECURSIVE": "RECURSIVE: name each part by WITH",
    "FOR SYSTEM_TIME": "FOR SYSTEM_TIME: remove it, sources are cut at the as-of",
    "TABLESAMPLE": "TABLESAMPLE: sample by FARM_FINGERPRINT of an id",
}


class InvalidQuery(Exception):
    """A query violates the policy. The message continues a sentence: what it does, a colon, and how to fix it."""


def tokenize(text: str) -> tuple[list[Token], list[str]]:
    """Return sqlglot's tokens, and the same tokens as words in upper case. Raises InvalidQuery."""
    _check_text(text)
    text += "\n"  # ends a comment, as the template does that the text is inserted into
    try:
        tokens = BigQuery().tokenize(text)
    except SqlglotError:
        raise InvalidQuery("cannot be parsed as GoogleSQL: close each quote and comment") from None
    words = [text[token.start : token.end + 1] for token in tokens]
    _check_first(words)
    end = 0
    for token, word in zip(tokens, words, strict=True):
        if not (_BETWEEN.fullmatch(text, end, token.start) and _TOKEN.fullmatch(word)):
            raise InvalidQuery(f"contains {abbreviate(text[end : token.end + 1])}: {_advice(word)}")
        end = token.end + 1
    if not _BETWEEN.fullmatch(text, end):
        raise InvalidQuery("ends in a comment that is not closed: close it")
    words = [" ".join(word.upper().split()) for word in words]
    _check_words(words)
    _check_nesting(words)
    return tokens, words


def texts(text: str) -> Iterator[str]:
    """Yield the string literals of a query as they are written, without quotes. The query must be valid."""
    for token in BigQuery().tokenize(text):
        if match := _QUOTED.fullmatch(text[token.start : token.end + 1]):
            yield match[2]


def abbreviate(text: str) -> str:
    """Return a part of the query on one line, shortened for an error message."""
    text = " ".join(text.split())
    return text if len(text) <= _MAX_EXCERPT else f"{text[: _MAX_EXCERPT - 1]}…"


def _advice(word: str) -> str:
    if word.startswith("`"):
        return "write one plain word in backticks, without project and dataset"
    return "write a string in one pair of quotes, on one line" if word[-1] in "'\"" else "write plain GoogleSQL"


def _check_text(text: str) -> None:
    if len(text) > _MAX_LENGTH:
        raise InvalidQuery(f"is longer than {_MAX_LENGTH:,} characters: shorten it")
    for character in text.replace("\r\n", "\n"):
        if not character.isprintable() and character not in "\n\t":
            raise InvalidQuery(f"contains the character U+{ord(character):04X}, which cannot be printed: remove it")
    if tag := re.search(r"{[{%#]", text):
        raise InvalidQuery(f"contains {tag[0]} after its Jinja was rendered: write plain SQL, with values as @NAME")


def _check_first(words: list[str]) -> None:
    first = next((word for word in words if word != "("), None)
    if first is None:
        raise InvalidQuery("contains no SQL: write one SELECT")
    if first.upper() not in ("SELECT", "WITH"):
        raise InvalidQuery(f"starts with {abbreviate(first)}: write one SELECT and nothing else")


def _check_words(words: list[str]) -> None:
    padded = ["", "", "", "", *words]
    for position, word in enumerate(words):
        before = padded[position : position + 4]
        if not _QUOTED.fullmatch(word) and _count_digits(word) > _MAX_DIGITS:
            raise InvalidQuery(
                "contains more than nine digits in a word, which may be a customer's number: remove them"
            )
        if word in _NOT_ALLOWED:
            raise InvalidQuery(f"contains {_NOT_ALLOWED[word]}")
        if not word[0].isalnum() and word[0] not in "_'\"`" and word not in _OPERATORS:
            raise InvalidQuery(f"contains {word}, which is no operator of GoogleSQL: write one of GoogleSQL")
        if word == "FORMAT" and (before[-2] == "AS" or before[-1] in (")", ">")):
            raise InvalidQuery(
                "casts by FORMAT, which completes values by today's date: call SAFE.PARSE_DATE, FORMAT_DATE or the like"
            )
        if word == "(" and _NAME.fullmatch(before[-1]):
            _check_call(*before)


def _count_digits(word: str) -> int:
    return len(word) - len("0X") if _HEXADECIMAL.fullmatch(word) else sum(character.isdigit() for character in word)


def _check_call(third: str, second: str, dot: str, name: str) -> None:
    """Check the four words before a parenthesis. After a dot or in backticks, a keyword is a name like any other."""
    if dot == "." and (second != "SAFE" or third == "."):
        raise InvalidQuery(f"calls {abbreviate(second + dot + name)}: only SAFE. may precede the name of a function")
    known = FUNCTIONS if dot == "." or name.startswith("`") else FUNCTIONS | SHAPES | KEYWORDS
    if name in UNSAFE and dot != ".":
        raise InvalidQuery(f"calls {name}, whose error would quote a value in BigQuery's job history: call SAFE.{name}")
    if (word := name.strip("`").split()[-1]) not in known:
        near = did_you_mean(word, FUNCTIONS, SURE)
        raise InvalidQuery(f"calls {abbreviate(name)}{near}, which is not an allowed deterministic function: remove it")


def _check_nesting(words: list[str]) -> None:
    """Limit nested calls: the parser tries the arguments of a call twice, so its time doubles with each level."""
    total, opened = 0, [1]
    for before, word in zip(["", *words], words, strict=False):
        total += opened[-1]
        if total > _MAX_PARSER_STEPS:
            raise InvalidQuery("has too many nested calls: name its parts by WITH")
        if word in ("(", "["):
            opened.append(opened[-1] * (1 if before in KEYWORDS else 2))
        elif word in (")", "]") and len(opened) > 1:
            opened.pop()
