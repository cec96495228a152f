"""Contents that share no fragment, one for each spelling, so that a search that finds one has found its spelling."""

import random
import string

from rawless.audit.spellings import spelled


def planted_contents(special: str = "") -> dict[str, bytes]:
    """A content for each spelling, by the spelling's name; each has the special characters between its words."""
    return {name: _content(name, special) for name in spelled(b"")}


def _content(name: str, special: str) -> bytes:
    chance = random.Random(name)
    words = ["".join(chance.choices(string.ascii_letters + string.digits, k=7)) for _ in range(8)]
    return f"{special} ".join(words).encode()
