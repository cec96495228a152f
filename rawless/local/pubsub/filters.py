"""Filters of subscriptions: which messages they take, by their attributes."""

import re
from collections.abc import Callable, Mapping

from rawless.local.pubsub.errors import invalid

Filter = Callable[[Mapping[str, str]], bool]
"""Whether a message with these attributes is taken."""
_STRING = r'"((?:[^"\\]|\\.)*)"'
_EQUALITY = re.compile(rf"\s*attributes\.(?:([A-Za-z_][A-Za-z0-9_-]*)|{_STRING})\s*=\s*{_STRING}\s*")
_AND = re.compile(r"AND\b")


def parse(text: str) -> Filter:
    """A filter such as `attributes.stream = "message" AND attributes.channel = "chat"`; without text, one for all.

    Raises Fault for anything but equalities joined by AND.
    """
    wanted = dict(_equalities(text)) if text else {}
    return lambda attributes: all(attributes.get(name) == value for name, value in wanted.items())


def _equalities(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while match := _EQUALITY.match(text, position):
        found.append((match[1] or _unquoted(match[2]), _unquoted(match[3])))
        if match.end() == len(text):
            return found
        if not (joined := _AND.match(text, match.end())):
            break
        position = joined.end()
    raise invalid('the local Pub/Sub filters by attributes.NAME = "VALUE" alone, joined by AND')


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
