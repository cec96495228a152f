"""Markers: invented words and numbers that look like personal data and occur nowhere else."""

import random
import secrets
from dataclasses import dataclass, field

from PIL import Image

_CONSONANTS = "bdfghklmnprstvwz"
_VOWELS = "aeiou"
SYLLABLES = 8
"""Of an invented word, with 50 random bits: no other text contains it."""
_FEWEST_LETTERS = 7
DIGITS = 18


@dataclass
class Markers:
    """Makes the markers of one run, and remembers each with the place where it was put.

    Markers are never written anywhere but into the events: they stay in the memory of this process.
    """

    chance: random.Random = field(default_factory=lambda: random.Random(secrets.randbits(256)), repr=False)  # noqa: S311
    contents: list[bytes] = field(default_factory=list, repr=False)
    pictures: list[Image.Image] = field(default_factory=list, repr=False)
    places: list[str] = field(default_factory=list)
    """Where each content was put, as in `a name in a text`."""
    picture_places: list[str] = field(default_factory=list)

    def word(self, place: str, syllables: int = SYLLABLES) -> str:
        """Return a new word of twice as many letters."""
        while True:
            pairs = (self.chance.choice(_CONSONANTS) + self.chance.choice(_VOWELS) for _ in range(syllables))
            if len(set(word := "".join(pairs))) >= _FEWEST_LETTERS:
                self.add(place, word.encode())
                return word

    def name(self, place: str) -> str:
        """Return a new first and last name."""
        return f"{self.word(place).title()} {self.word(place).title()}"

    def phone(self, place: str) -> str:
        """Return a new telephone number with a long extension."""
        digits = "".join(self.chance.choices("0123456789", k=DIGITS))
        self.add(place, digits.encode())
        return f"+{digits[:2]} {digits[2:5]} {digits[5:9]} {digits[9:14]}-{digits[14:]}"

    def address(self, place: str) -> str:
        """Return a new street and town."""
        number = self.chance.randrange(1, 200)
        return f"{number} {self.word(place).title()} Street, {self.word(place).title()}"

    def add(self, place: str, content: bytes) -> None:
        """Remember a content that must be found nowhere."""
        self.contents.append(content)
        self.places.append(place)

    def add_picture(self, place: str, picture: Image.Image) -> None:
        """Remember a picture, its pixels in the usual orders, and everything that looks like it."""
        rgb = picture.convert("RGB")
        red, green, blue = rgb.split()
        planes = (red.tobytes(), green.tobytes(), blue.tobytes())
        for pixels in (rgb.tobytes(), rgb.convert("L").tobytes(), Image.merge("RGB", (blue, green, red)).tobytes()):
            self.add(f"pixels of {place}", pixels)
        self.add(f"pixels of {place}", b"".join(planes))
        self.pictures.append(picture)
        self.picture_places.append(place)

    def place_of(self, content: int) -> str:
        """Return where the content of a trace was put."""
        return [*self.places, *self.picture_places][content]
