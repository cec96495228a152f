"""What a decoder draws of the attacked pictures, for people who may see both."""

from dataclasses import dataclass, field

from rawless.audit.leakage.attacks import Setting, decoder_attack
from rawless.audit.leakage.contact_sheet import MAX_PAIRS, contact_sheet
from rawless.errors import RawlessError
from rawless.privacy import Raw, Reason, guarded


@dataclass(frozen=True)
class Drawings:
    """How far drawings are from the pictures, as a peak signal-to-noise ratio in decibels, and a sheet of both."""

    psnr: float
    psnr_of_mean: float
    """That of the mean picture, which is drawn without vectors."""
    pairs: int
    """In the sheet."""
    sheet: Raw[bytes] = field(repr=False)
    """A PNG."""


def draw(setting: Setting) -> Drawings:
    """Return the drawings of the attacked pictures. Raises RawlessError without anything of its exception."""
    drawings = guarded(_draw, setting)
    if isinstance(drawings, Reason):
        raise RawlessError(f"The pictures cannot be drawn ({drawings.value}), so nothing was written: report it.")
    return drawings


def _draw(setting: Setting) -> Drawings:
    attack = decoder_attack(setting)
    drawn = attack.draw(setting.auxiliary.vectors, setting.attacked.vectors)
    psnr, of_mean = attack.psnr(drawn)
    pairs = min(len(drawn), MAX_PAIRS)
    return Drawings(psnr, of_mean, pairs, contact_sheet(attack.pictures, drawn))
