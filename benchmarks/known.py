"""Quantities that know how sure they are, from a measurement to an assumption."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import total_ordering
from typing import TypeAlias


class Basis(IntEnum):
    """What a figure rests on, from the surest on."""

    MEASURED = 1
    PUBLISHED = 2
    CEILING = 3
    ASSUMED = 4

    @property
    def mark(self) -> str:
        """The letter that follows a figure in a table."""
        return {"m": "\u1d50", "p": "\u1d56", "c": "\u1d9c", "a": "\u1d43"}[self.name[0].lower()]


Exact: TypeAlias = int | float
"""A number that needs no source: a setting, a unit, what is asked."""


@total_ordering
@dataclass(frozen=True, eq=False)
class Known:
    """A quantity. What is computed from several is as sure as the least sure of them."""

    value: float
    basis: Basis

    def __add__(self, other: "Known | Exact") -> "Known":
        return self._with(other, lambda mine, others: mine + others)

    def __sub__(self, other: "Known | Exact") -> "Known":
        return self._with(other, lambda mine, others: mine - others)

    def __mul__(self, other: "Known | Exact") -> "Known":
        return self._with(other, lambda mine, others: mine * others)

    def __truediv__(self, other: "Known | Exact") -> "Known":
        return self._with(other, lambda mine, others: mine / others)

    def __rtruediv__(self, other: Exact) -> "Known":
        return Known(other / self.value, self.basis)

    def __lt__(self, other: "Known | Exact") -> bool:
        return self.value < float(other)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Known | int | float) and self.value == float(other)

    __hash__ = None  # type: ignore[assignment]
    __radd__, __rmul__ = __add__, __mul__

    def __float__(self) -> float:
        return float(self.value)

    def __ceil__(self) -> int:
        return math.ceil(self.value)

    def up(self) -> "Known":
        """Return the next whole number."""
        return Known(math.ceil(self), self.basis)

    def _with(self, other: "Known | Exact", compute: Callable[[float, float], float]) -> "Known":
        basis = max(self.basis, other.basis) if isinstance(other, Known) else self.basis
        return Known(compute(self.value, float(other)), basis)


def least(*values: Known) -> Known:
    """Return the lowest of some quantities, as sure as the least sure: any of them might be lower."""
    return Known(min(values).value, max(each.basis for each in values))
