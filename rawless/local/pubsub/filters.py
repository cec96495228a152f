"""Parse subscription filters, which select messages by their attributes."""

import re
from collections.abc import Callable, Mapping

from rawless.local.pubsub.errors import invalid

Filter = Callable[[Mapping[str, str]], bool]
"""Returns whether the filter selects a message with these attributes."""
_STRING = r'"((?:[^"\\]|\\.)*)"'
_EQUALITY = re.compile(rf"\s*attributes\.(?:([A-Za-z_][A-Za-z0-9_-]*)|{_STRING})\s*=\s*{_STRING}\s*")
_AND = re.compile(r"AND\b")


def parse(text: str) -> Filter:
    """Parse a filter such as `attributes.stream = "message" AND attributes.channel = "chat"`.

    An empty text selects every message. Raises PubSubError for anything but equalities joined by AND.
    """
    required = dict(_equalities(text)) if text else {}
    return lambda attributes: all(attributes.get(name) == value for name, value in required.items())


def _equalities(text: str) -> list[tuple[str, str]]:
    equalities, position = [], 0
    while match := _EQUALITY.match(text, position):
        equalities.append((match[1] or _unquoted(match[2]), _unquoted(match[3])))
        if match.end() == len(text):
            return equalities
        if not (joined := _AND.match(text, match.end())):
            break
        position = joined.end()
    raise invalid('the local Pub/Sub supports only filters of the form attributes.NAME = "VALUE", joined by AND')


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
